"""HEIF, which is nearly always the HEIC of a phone: libheif turns it upright and composites its tiles."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.colour.sourceprofile import code_point_profile, embedded_profile
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.heif.agreement import agrees, can_be_told
from thumbq.imaging.formats.heif.thumbnail import thumbnail
from thumbq.imaging.formats.inputformat import DecodingCosts, InputFormat, linear_nanoseconds
from thumbq.imaging.formats.isomedia.aperture import aperture, load_shown, without
from thumbq.imaging.formats.isomedia.costs import made_bytes, piecewise_memory
from thumbq.imaging.formats.isomedia.still import read_still
from thumbq.imaging.formats.isomedia.tiles import grid, pieces, with_tiles
from thumbq.imaging.heap import RETURNED_BYTES
from thumbq.imaging.opening import Opened, file_of, open_with_pillow

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_WORKING_BYTES: Final = 5 << 20
_HALF_CHROMA: Final = 3
"""Bytes of the planes of a pixel with colour of half the size, and more than 8 bits."""


def _read(original: Original) -> Header:
    return with_tiles(read_still(original, ImageFormat.HEIF), original)


def _open(original: Original, header: Header) -> Opened:
    shown = aperture(original, header, turns=True)
    # pi-heif 1.4 refuses most files that have a clean aperture.
    file = file_of(original) if shown is None else without(original, shown)
    image = open_with_pillow(file, ImageFormat.HEIF)
    tiles = grid(original, ImageFormat.HEIF)
    return Opened(
        image,
        _source_profile(image),
        partial(load_shown, image, shown),
        orientation=lambda _: 1 if tiles is None else tiles.orientation,
        pieces=None if tiles is None else partial(pieces, original, tiles, ImageFormat.HEIF),
        thumbnail=partial(_open_thumbnail, original) if shown is None else None,
        is_shown_by=partial(agrees, original, tiles) if tiles is not None and can_be_told(tiles) else None,
    )


def _open_thumbnail(original: Original) -> ImageFile.ImageFile | None:
    found = thumbnail(original)
    return None if found is None else open_with_pillow(io.BytesIO(found.file), ImageFormat.HEIF)


def _source_profile(image: Image.Image) -> bytes | None:
    """Return the profile; else that of the code points of the ``colr`` box (nclx)."""
    profile, nclx = embedded_profile(image), image.info.get("nclx_profile")
    if profile is None and isinstance(nclx, dict):
        return code_point_profile(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    return profile


def _memory(header: Header, pixels: int, _frames: int) -> tuple[float, float]:
    peak, held = piecewise_memory(header, pixels, _at_once) if header.piece_pixels else _at_once(header, pixels)
    return _WORKING_BYTES + peak, held


def _at_once(header: Header, pixels: int) -> tuple[float, float]:
    image, made = pixels * header.pixel_bytes, made_bytes(header)
    planes, alpha = header.scratch_bytes, pixels * header.has_alpha
    if header.bits == 8:  # noqa: PLR2004 -- of a byte
        held = max(2 * planes, image + made * pixels + alpha) + pixels / 4
    elif planes > _HALF_CHROMA * pixels:  # by way of 4:4:4
        held = planes + (6.6 + made) * pixels
    else:
        held = max(2 * planes, 1.5 * planes + made * pixels, image + made * pixels)
        held += planes if planes < 2 * RETURNED_BYTES else 0
    return held, image


INPUT: Final = InputFormat(
    _read, partial(decode_whole, _open), DecodingCosts(_memory, linear_nanoseconds(150, 40), file_copies=(2, 2))
)

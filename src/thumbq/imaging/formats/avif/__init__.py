"""AVIF, in and out: libavif composites the frames of a sequence, and leaves the clean aperture to its callers."""

from __future__ import annotations

import io
from contextlib import nullcontext
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from PIL import AvifImagePlugin  # noqa: F401 -- Image.open takes the formats whose plugins are loaded

from thumbq.core.formats import ImageFormat
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.avif.colours import source_profile
from thumbq.imaging.formats.avif.header import is_sequence, read
from thumbq.imaging.formats.avif.plays import plays_of, with_plays
from thumbq.imaging.formats.inputformat import DecodingCosts, InputFormat, linear_nanoseconds
from thumbq.imaging.formats.isomedia.alphasizes import with_alpha_sizes
from thumbq.imaging.formats.isomedia.aperture import aperture, load_shown
from thumbq.imaging.formats.isomedia.costs import made_bytes, piecewise_memory
from thumbq.imaging.formats.isomedia.tiles import grid, pieces
from thumbq.imaging.formats.outputformat import (
    MOST_EFFORT,
    EncodingCost,
    OutputFormat,
    Rendition,
    cost_by_effort,
    subsampling,
)
from thumbq.imaging.heap import RETURNED_BYTES, smaller_blocks_returned
from thumbq.imaging.opening import Opened, file_of, open_with_pillow

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.aperture import Aperture
    from thumbq.imaging.header import Header
    from thumbq.imaging.playback import Playback

_MAJOR_BRAND: Final = slice(8, 12)
_PILLOWS_BRANDS: Final = frozenset({b"avif", b"avis", b"mif1", b"msf1"})

_REFERENCES: Final = 9
_WORKING: Final = 1.3
"""The decoder's memory of a sequence as a share of its planes; it counts where these are larger than the image."""

_BYTE: Final = 8
_BLOCKS_BYTES: Final = 0.5
"""What dav1d notes of the blocks of a frame, for each of its pixels."""

_SPEED: Final = 6
_COST: Final = EncodingCost(28.5, 39, 290, 800, 1200, 2300, 8)
_SLOW_COST: Final = EncodingCost(43, 54, 420, 800, 1200, 2300, 8)
_COSTS: Final = {0: _COST} | {
    effort: _SLOW_COST.times(factor) for effort, factor in {4: 5.2, 5: 6.5, 6: 12, 7: 21, 8: 40, 9: 65}.items()
}
_FULL_CHROMA_BYTES: Final = 13
"""Bytes that a pixel takes more without smaller planes of colour, which take twice the time, too."""


def _open(original: Original, header: Header) -> Opened:
    shown = None if is_sequence(original) else aperture(original, header, turns=False)
    image = open_with_pillow(_file(original), ImageFormat.AVIF)
    tiles = None if is_sequence(original) else grid(original, ImageFormat.AVIF)
    return Opened(
        image,
        source_profile(image, original),
        partial(_load, image, header, shown),
        pieces=None if tiles is None else partial(pieces, original, tiles, ImageFormat.AVIF),
    )


def _load(image: ImageFile.ImageFile, header: Header, shown: Aperture | None) -> Image.Image:
    with smaller_blocks_returned() if header.bits > _BYTE else nullcontext():
        return load_shown(image, shown)


def _file(original: Original) -> IO[bytes]:
    """Return the file as Pillow takes it: by its major brand, and with a size of its alpha."""
    told = with_alpha_sizes(original)
    if original[_MAJOR_BRAND] in _PILLOWS_BRANDS:
        return told or file_of(original)
    file = told or io.BytesIO(original)
    file.seek(_MAJOR_BRAND.start)
    file.write(b"avif")
    file.seek(0)
    return file


def _memory(header: Header, pixels: int, frames: int) -> tuple[float, float]:
    image, made = pixels * header.pixel_bytes, made_bytes(header) * pixels
    if frames > 1:
        planes = header.scratch_bytes * (1 + _REFERENCES)
        return max(_WORKING * planes, planes + image + made + pixels), planes + image + pixels
    return piecewise_memory(header, pixels, _of_a_piece) if header.piece_pixels else _at_once(header, pixels)


def _of_a_piece(header: Header, pixels: int) -> tuple[float, float]:
    # The blocks of the piece before are not yet returned to the system.
    peak, image = _at_once(header, pixels)
    return 1.5 * header.scratch_bytes + peak + made_bytes(header) * pixels + image, image


def _at_once(header: Header, pixels: int) -> tuple[float, float]:
    image, made = pixels * header.pixel_bytes, made_bytes(header) * pixels
    # Of more than 8 bits, planes of 8 are made first. libavif's pixels are copied once while its planes are there, and
    # then Pillow's are made of the copy.
    first = header.scratch_bytes + _BLOCKS_BYTES * pixels * (1 + header.has_alpha) + 2 * made
    return (first + image if made < RETURNED_BYTES else max(first, made + image)), image


def _plays(_image: Image.Image, original: Original) -> int:
    return plays_of(original)


def _options(preset: Preset) -> dict[str, Any]:
    speed = _SPEED if preset.effort is None else MOST_EFFORT - preset.effort
    return {"quality": preset.quality, "speed": speed, "subsampling": subsampling(preset), "max_threads": 1}


def _cost(rendition: Rendition) -> EncodingCost:
    cost = cost_by_effort(_COSTS, rendition)
    if not rendition.full_chroma:
        return cost
    return cost.times(2)._replace(
        opaque_bytes=cost.opaque_bytes + _FULL_CHROMA_BYTES,
        alpha_bytes=cost.alpha_bytes + _FULL_CHROMA_BYTES,
        animated_bytes=cost.animated_bytes + 4 * _FULL_CHROMA_BYTES,
    )


def _mend_animation(file: bytes, playback: Playback, _seen_through: bool) -> bytes:  # noqa: FBT001 -- see OutputFormat
    """Tell the file how often it is played, which Pillow cannot."""
    return with_plays(file, plays=playback.plays)


INPUT: Final = InputFormat(
    read,
    partial(decode_whole, _open),
    DecodingCosts(_memory, linear_nanoseconds(150, 30), file_copies=(1, 2), composites=True),
    plays=_plays,
)
OUTPUT: Final = OutputFormat(_options, _cost, mend_animation=_mend_animation)

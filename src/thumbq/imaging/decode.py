"""From a file to pixels: at the smallest scale that serves, and only at a cost that was agreed to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from PIL import Image

from thumbq.core.formats import ImageFormat
from thumbq.imaging import admission, colour, exif
from thumbq.imaging.clap import aperture
from thumbq.imaging.decoded import Decoded
from thumbq.imaging.decodejpeg import decode_jpeg
from thumbq.imaging.embedded import thumbnail
from thumbq.imaging.frames import first_picture
from thumbq.imaging.geometry import gaps, target, turned
from thumbq.imaging.opening import cut, let_go, load, opened
from thumbq.imaging.resize import Picture, reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import ImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.header import Header

_THUMBNAIL_MARGIN: Final = 2
"""A HEIC's own thumbnail, which was compressed once more, serves targets of no more than half its size."""

_TURNED_BY_DECODER: Final = frozenset({ImageFormat.TIFF, ImageFormat.HEIF})


def decode(original: Original, header: Header, presets: Sequence[Preset], limits: Limits) -> Decoded:
    """Load an image, the first frame of an animation, at a size that serves all presets.

    Raises RenderRefused when that would cost more than the limits allow; a decoder may raise anything.
    """
    if header.jpeg is not None:
        return decode_jpeg(original, header, presets, limits)
    frames = header.frames if any(preset.animated for preset in presets) else 1
    stored = header.width, header.height
    # Which way up it is can be known only after the load: reading a PNG's EXIF decodes all of it.
    possible = [target(size, preset) for size in (stored, stored[::-1]) for preset in presets]
    admission.admit(
        header,
        scale=1,
        gap=min(map(min, gaps(possible, 1))),
        renditions=admission.renditions(possible, [*presets, *presets]),
        animated=frames > 1,
        limits=limits,
    )
    shown = aperture(original, header)
    image = opened(original, header, shown)
    colour.mend(image)
    icc_profile = colour.stated_profile(image, original)
    if header.format is ImageFormat.HEIF and shown is None and all(preset.embedded_thumbnail for preset in presets):
        served = _embedded(original, image, presets, icc_profile)
        if served is not None:
            return served
    # Nearly always there is none.
    pixels = first_picture(original, header)
    if pixels is None:
        load(image, original, header)
        pixels = image
        if frames == 1:
            let_go(image)
        if shown is not None:
            cut(image, shown)
    turn = 1 if header.format in _TURNED_BY_DECODER else exif.orientation(image)
    upright_size = turned(pixels.size, turn)
    targets = tuple(target(upright_size, preset) for preset in presets)
    picture = reduced(Picture(pixels, (1.0, 1.0)), gaps(targets, turn))
    return Decoded(image, picture, targets, upright_size, turn, icc_profile, None)


def _embedded(
    original: Original, image: ImageFile.ImageFile, presets: Sequence[Preset], icc_profile: bytes | None
) -> Decoded | None:
    """Load a HEIC's own thumbnail, when there is one that is large enough for all presets."""
    found = thumbnail(original)
    targets = tuple(target(image.size, preset) for preset in presets)
    if found is None:
        return None
    small = Image.open(io.BytesIO(found.file), formats=[ImageFormat.HEIF.value])
    scale = small.width / image.width, small.height / image.height
    spare = [(across * scale[0], down * scale[1]) for across, down in gaps(targets, 1)]
    if min(map(min, spare)) < _THUMBNAIL_MARGIN:
        return None
    small.load()
    return Decoded(
        small, reduced(Picture(small, scale), spare), targets, image.size, 1, icc_profile, "embedded-thumbnail"
    )

"""WebPs to pixels: libwebp can shrink an opaque still while it decodes it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging import exif
from thumbq.imaging.colour import embedded_profile
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.decoded import Decoded
from thumbq.imaging.formats.webp import library
from thumbq.imaging.formats.webp.alpha import lacks_alpha, with_alpha
from thumbq.imaging.formats.webp.header import metadata
from thumbq.imaging.geometry import reducing_gaps, target, turned
from thumbq.imaging.opening import Opened, file_of, open_with_pillow, opened
from thumbq.imaging.resize import Picture, ResamplingQuality, reduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.header import Header
    from thumbq.ports.rendering import Shrinking

_CANVASES_BYTES: Final = 8
_SHRINKINGS: Final[Mapping[int, Shrinking]] = {8: "1/8", 4: "1/4", 2: "1/2"}
_QUALITY: Final = ResamplingQuality()


def decode(original: Original, header: Header, presets: Sequence[Preset], budget: Budget) -> Decoded:
    """Load a WebP, an opaque still shrunk as far as all presets allow. See ``inputformat.Decode``.

    libwebp averages its pixels, as ``reduced`` does, and leaves out the filter along the edges of blocks. It would
    average colours without regard to their alpha.
    """
    still = None if header.frames > 1 else _still(original, header, presets, budget)
    return decode_whole(_open, original, header, presets, budget) if still is None else still


def _still(original: Original, header: Header, presets: Sequence[Preset], budget: Budget) -> Decoded | None:
    """Return a still that libwebp decodes by itself; None for what is left to Pillow, with all damage."""
    stored = header.width, header.height
    info = metadata(original)
    orientation = exif.orientation_of(info.get("exif", b""))
    upright_size = turned(stored, orientation)
    targets = tuple(target(upright_size, preset) for preset in presets)
    budget.admit(targets, presets)
    gaps = reducing_gaps(targets, orientation)
    least = 1 if header.has_alpha else min(map(min, gaps)) / _QUALITY.reducing_gap
    shrink = next((shrink for shrink in _SHRINKINGS if shrink <= least), 1)
    size = -(-stored[0] // shrink), -(-stored[1] // shrink)
    mode = "RGBA" if header.has_alpha else "RGB"
    image = library.decoded(bytes(original), size, mode, scaled=shrink > 1)
    if image is None:
        return None
    image.info.update(info)
    scale = size[0] / stored[0], size[1] / stored[1]
    picture = reduced(Picture(image, scale, _QUALITY), [(across * scale[0], down * scale[1]) for across, down in gaps])
    shrinking = _SHRINKINGS.get(shrink)
    return Decoded(image, picture, targets, upright_size, orientation, embedded_profile(image), shrinking)


def _open(original: Original, header: Header) -> Opened:
    file = file_of(original)
    if header.has_alpha and lacks_alpha(original):
        file = io.BytesIO(with_alpha(original))
    try:
        return opened(open_with_pillow(file, ImageFormat.WEBP))
    except OSError:
        # libwebp makes two canvases here and has one word for all that fails: this raises when it was memory.
        bytearray(_CANVASES_BYTES * header.width * header.height)
        raise

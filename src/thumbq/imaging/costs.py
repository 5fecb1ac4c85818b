"""What a render will cost, by what its header says.

The numbers are measured: files of 3 to 48 megapixels of every format and kind of pixel, each rendered in a fresh
process (Pillow 13.0, pi-heif 1.4, x86-64) at 100 and at 1,280 pixels and at full size into every output format; memory
is the kernel's VmHWM less the resident size of an idle child, time is CPU time on a slow core.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging import MIB, READ_WHOLE_BYTES
from thumbq.imaging.encodingcosts import encoding_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.encodingcosts import Encoding, Rendition
    from thumbq.imaging.header import Header, JpegFacts

_OVERHEAD_BYTES: Final = 6 * MIB
_COEFFICIENT_BYTES: Final = 128
"""Of a block of 8 by 8 samples in a JPEG that is not decoded in one pass."""

_HOLDING_THE_FILE: Final = frozenset({ImageFormat.WEBP, ImageFormat.AVIF, ImageFormat.HEIF})
"""Decoders that hold a copy of the file beside its mapping; bytes they share."""

_COMPOSITING: Final = frozenset({ImageFormat.WEBP, ImageFormat.AVIF})
"""Formats whose frames decoders put on the canvas."""

_BAND_PIXELS: Final = MIB
_BAND_BYTES: Final = 12
_GAP: Final = 4
"""Pixels beyond this times the target's are averaged away band by band, before any copy is made of them."""

_ANIMATED_CANVAS_BYTES: Final = 20
"""A pixel of an animation's canvas: the frame, the ones before and after, and what is pasted."""

_AV1_REFERENCES: Final = 9
_AV1_WORKING: Final = 1.3
"""What its decoder takes of its planes' size; it counts where these are larger than the image."""


_PROFILE_NANOSECONDS: Final = 40
"""What the colours of CMYK take more."""

_FINISHED_BYTES: Final = 4
_GREY: Final = 0.5
"""What of that a grey rendition takes."""

_MOST_BITS_OF_GREY: Final = 16

_ROW_BYTES: Final = 200
"""What libjpeg's row buffers take for a column."""

_NANOSECONDS: Final = {ImageFormat.WEBP: (60, 30), ImageFormat.AVIF: (150, 30), ImageFormat.HEIF: (150, 40)}
"""CPU time by a byte of the file and by a pixel."""

_RUN_NANOSECONDS: Final = (100, 110)
"""The same for the runs of a BMP, which Pillow reads in Python; the end of a row costs most, pixel by pixel."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory beyond an idle child's, and CPU time."""

    memory_bytes: int
    cpu_s: float


def predict(header: Header, *, scale: int, gap: float, renditions: Sequence[Rendition], animated: bool) -> Cost:
    """Predict what a render takes.

    ``scale`` is what a JPEG is shrunk by while it loads (1, 2, 4, 8), ``gap`` the least number of pixels, across or
    down, that go into one of any rendition after that; ``animated`` says whether all frames are decoded.
    """
    width, height = (header.animated_size if animated else None) or (header.width, header.height)
    pixels = ceil(width / scale) * ceil(height / scale)
    clear = _is_clear(header)
    encodings = [(rendition, encoding_of(rendition, clear=clear, animated=animated)) for rendition in renditions]
    decoding, left = _decoding_bytes(header, pixels, animated=animated)
    reduction = max(1, int(gap / _GAP)) ** 2
    expanding, ready = _expanding_bytes(header)
    copied = (_BAND_BYTES * min(pixels, _BAND_PIXELS) if reduction > 1 else expanding * pixels) if expanding else 0
    source = pixels // reduction
    ready_bytes = source * (_FINISHED_BYTES if reduction > 1 else ready)
    if animated and header.format in _COMPOSITING:
        left += ready_bytes  # the first frame's are held while those of the others are made
    frames = header.frames if animated else 1
    finishing = _finishing_bytes(encodings, source, frames if animated else 0, clear=clear)
    if _is_grey(header) and not clear and header.bits <= _MOST_BITS_OF_GREY:
        finishing *= _GREY
    return Cost(
        _OVERHEAD_BYTES
        + header.file_bytes * _copies(header)
        + ceil(max(decoding, left + copied, left + ready_bytes + finishing)),
        frames
        * (
            _decoding_s(header, width * height, scale)
            + sum(_encoding_s(*each, header, animated=animated) for each in encodings)
        ),
    )


def _copies(header: Header) -> int:
    return 2 if header.format in _HOLDING_THE_FILE and header.file_bytes > READ_WHOLE_BYTES else 1


def _is_clear(header: Header) -> bool:
    """Whether the pixels have, or get, an alpha channel; a TIFF's CMYK is taken for RGBA."""
    return header.channels in {2, 4} and header.jpeg is None


def _is_grey(header: Header) -> bool:
    return header.channels - header.color_key == 1 and not header.palette


def _pixel_bytes(header: Header) -> int:
    """Return what Pillow takes for a pixel."""
    if header.palette:
        return 1
    return min(4, ceil(header.bits / 8)) if _is_grey(header) else 4


def _decoding_bytes(header: Header, pixels: int, *, animated: bool) -> tuple[float, float]:
    """Return the peak while an image is decoded, and what is still held when it is."""
    image = pixels * _pixel_bytes(header)
    made = 1 if header.channels == 1 else 3 if header.channels == 3 else 4  # noqa: PLR2004 -- RGB is packed
    match header.format:
        case ImageFormat.JPEG:
            assert header.jpeg is not None
            left = image + header.scratch_bytes + _ROW_BYTES * header.width
            return left + _coefficient_bytes(header, header.jpeg), left
        case ImageFormat.WEBP:
            # Two canvases, the bytes that are handed over, and Pillow's pixels.
            return (16 + _is_clear(header)) * pixels, (16 if animated else 12) * pixels
        case ImageFormat.AVIF:
            planes = header.scratch_bytes * (1 + _AV1_REFERENCES if animated else 1)
            return max(_AV1_WORKING * planes, planes + image + (made + 1) * pixels), planes + image + pixels
        case ImageFormat.HEIF:
            return max(2 * header.scratch_bytes + made * pixels, image + made * pixels) + pixels / 4, image
        case _:
            left = header.scratch_bytes + (_ANIMATED_CANVAS_BYTES * pixels if animated else image)
            return left, left


def _coefficient_bytes(header: Header, facts: JpegFacts) -> int:
    return 0 if facts.one_pass else _COEFFICIENT_BYTES * facts.blocks(header.width, header.height)


def _expanding_bytes(header: Header) -> tuple[int, int]:
    """Return bytes a pixel while it is made ready for resampling, beside the decoded ones, and when it is."""
    if header.jpeg is not None:
        return 0, 0
    if header.color_key or (header.palette and _is_clear(header)):
        return 8, 8
    if header.palette or _is_clear(header):
        return 4, 4
    if header.channels == 1:
        return (0, 0) if header.bits == 8 else (4, 1)  # noqa: PLR2004 -- a byte
    return 0, 0


def _finishing_bytes(
    encodings: Sequence[tuple[Rendition, Encoding]], source: int, frames: int, *, clear: bool
) -> float:
    """Return what resampling and encoding take: all renditions are held, one is encoded at a time."""
    finished = _FINISHED_BYTES * (1 + clear)  # colours that alpha is multiplied into, and such that it is not
    held = sum(rendition.pixels * (finished + encoding.film * frames) for rendition, encoding in encodings)
    largest = max((rendition.pixels for rendition, _ in encodings), default=0)
    encoding = max(
        (
            rendition.pixels * max(encoding.moving if frames else 0, encoding.clear if clear else encoding.opaque)
            for rendition, encoding in encodings
        ),
        default=0,
    )
    return held + max(_FINISHED_BYTES * sqrt(largest * source), encoding)


def _decoding_s(header: Header, pixels: int, scale: int) -> float:
    """Return the CPU time of decoding one frame, reading and resampling it."""
    if header.jpeg is not None:
        nanoseconds = 20 * (header.file_bytes - header.jpeg.pixels_at) + pixels * (0.5 + 15 / scale**2)
        if not header.jpeg.one_pass:
            nanoseconds += 35 * header.jpeg.scans * header.jpeg.blocks(header.width, header.height)
        return nanoseconds / 1e9
    by_byte, by_pixel = _NANOSECONDS.get(header.format, (10, 30))
    if header.format is ImageFormat.BMP and header.scratch_bytes:
        by_byte, by_pixel = _RUN_NANOSECONDS
    return (by_byte * header.file_bytes / header.frames + by_pixel * pixels) / 1e9


def _encoding_s(rendition: Rendition, encoding: Encoding, header: Header, *, animated: bool) -> float:
    nanoseconds = encoding.clear_nanoseconds if _is_clear(header) else encoding.nanoseconds
    if animated:
        nanoseconds = max(nanoseconds, encoding.moving_nanoseconds)
    if header.channels == 4:  # noqa: PLR2004 -- CMYK, perhaps
        nanoseconds += _PROFILE_NANOSECONDS
    return rendition.pixels * nanoseconds / 1e9

"""What a render will cost, by what its header says.

The numbers are measured: files of 3 to 48 megapixels of every format and kind of pixel, each rendered in a fresh
process (Pillow 13.0, pi-heif 1.4, x86-64) at 100 and at 1,280 pixels and at full size into every output format; memory
is the kernel's VmHWM less the resident size of an idle child, time is CPU time on a slow core.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.core.formats import ImageFormat
from thumbq.imaging import MIB, READ_WHOLE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class _Encoding(NamedTuple):
    """What a pixel of a rendition takes to encode: bytes and nanoseconds, without and with alpha, and in an animation.

    ``film`` is what is held for each pixel of all its frames.
    """

    opaque: float
    clear: float
    moving: float
    nanoseconds: int
    clear_nanoseconds: int
    moving_nanoseconds: int
    film: int


_AVIF: Final = _Encoding(28.5, 39, 290, 800, 1200, 2300, 8)
_AVIF_SLOW: Final = _Encoding(43, 54, 420, 800, 1200, 2300, 8)
_AVIF_FACTORS: Final = {4: 5.2, 5: 6.5, 6: 12, 7: 21, 8: 40, 9: 65}
_FULL_CHROMA: Final = 13
"""Bytes that a pixel of an AVIF takes more without smaller planes of colour, which take twice the time, too."""

_SHARPENING: Final = (2, 6)
"""Bytes that a sharpened pixel takes more, without and with alpha."""


def _times(encoding: _Encoding, factor: float) -> _Encoding:
    """Return an encoding of which each pixel takes so much longer."""
    return encoding._replace(
        nanoseconds=round(factor * encoding.nanoseconds),
        clear_nanoseconds=round(factor * encoding.clear_nanoseconds),
        moving_nanoseconds=round(factor * encoding.moving_nanoseconds),
    )


_ENCODINGS: Final[Mapping[str, Mapping[int, _Encoding]]] = {
    "jpeg": {0: _Encoding(7.5, 8.5, 0, 40, 50, 0, 0)},
    "png": {
        0: _Encoding(9.5, 10.5, 20, 390, 500, 500, 12),
        7: _Encoding(9.5, 10.5, 20, 620, 800, 800, 12),
        8: _Encoding(9.5, 10.5, 20, 1200, 1500, 1500, 12),
    },
    "webp": {
        0: _Encoding(10, 32, 36, 90, 170, 190, 8),
        4: _Encoding(22, 32, 46, 150, 270, 400, 8),
        7: _Encoding(22, 56, 66, 410, 500, 900, 8),
        9: _Encoding(22, 56, 66, 410, 6700, 900, 8),
    },
    "lossless webp": {
        0: _Encoding(38, 38, 64, 600, 600, 1200, 8),
        5: _Encoding(38, 38, 64, 900, 900, 1800, 8),
        7: _Encoding(43, 43, 70, 1600, 1600, 3000, 8),
    },
    "avif": {0: _AVIF} | {effort: _times(_AVIF_SLOW, factor) for effort, factor in _AVIF_FACTORS.items()},
}
"""By format, and from which effort on; times are those of noise, which takes the longest."""

_USUAL_EFFORT: Final = 3
"""Where a preset names none; PNG's is another, and no matter."""

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


class Rendition(NamedTuple):
    """Pixels of a rendition, and what of its preset makes it costly."""

    pixels: int
    format: str
    lossless: bool = False
    effort: int | None = None
    full_chroma: bool = False
    sharpened: bool = False


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
    encodings = [(rendition, _encoding(rendition, clear=clear, animated=animated)) for rendition in renditions]
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


def _encoding(rendition: Rendition, *, clear: bool, animated: bool) -> _Encoding:
    output = rendition.format
    if output == "auto":
        output = "jpeg" if not (clear or animated) else "png" if rendition.lossless else "webp"
    if output == "webp" and rendition.lossless:
        output = "lossless webp"
    effort = _USUAL_EFFORT if rendition.effort is None else rendition.effort
    levels = _ENCODINGS[output]
    found = levels[max(least for least in levels if least <= effort)]
    if output == "avif" and rendition.full_chroma:
        found = _times(found, 2)._replace(
            opaque=found.opaque + _FULL_CHROMA, clear=found.clear + _FULL_CHROMA, moving=found.moving + 4 * _FULL_CHROMA
        )
    if rendition.sharpened:
        found = found._replace(opaque=found.opaque + _SHARPENING[0], clear=found.clear + _SHARPENING[1])
    return found


def _finishing_bytes(
    encodings: Sequence[tuple[Rendition, _Encoding]], source: int, frames: int, *, clear: bool
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


def _encoding_s(rendition: Rendition, encoding: _Encoding, header: Header, *, animated: bool) -> float:
    nanoseconds = encoding.clear_nanoseconds if _is_clear(header) else encoding.nanoseconds
    if animated:
        nanoseconds = max(nanoseconds, encoding.moving_nanoseconds)
    if header.channels == 4:  # noqa: PLR2004 -- CMYK, perhaps
        nanoseconds += _PROFILE_NANOSECONDS
    return rendition.pixels * nanoseconds / 1e9

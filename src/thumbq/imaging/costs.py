"""The predicted cost of a render, from the header alone.

The numbers here and in the formats' folders are measured: files of 3 to 48 megapixels of every format and kind of
pixel, each rendered in a fresh process (Pillow 13.0, pi-heif 1.4, x86-64) at 100 and at 1,280 pixels and at full size
into every output format; memory is the kernel's VmHWM less the resident size of an idle render process, time is CPU
time on a slow core.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import output_name
from thumbq.core.units import MIB
from thumbq.imaging import READ_WHOLE_BYTES
from thumbq.imaging.formats.registry import INPUT_FORMATS, OUTPUT_FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.formats.outputformat import EncodingCost, Rendition
    from thumbq.imaging.header import Header

_OVERHEAD_BYTES: Final = 6 * MIB
_BAND_PIXELS: Final = MIB
_BAND_BYTES: Final = 12
_REDUCING_GAP: Final = 4
"""Pixels beyond this times the target's are averaged away band by band, before any copy is made of them."""

_PROFILE_NANOSECONDS: Final = 40
"""The extra cost of a pixel of CMYK."""

_FINISHED_BYTES: Final = 4
_GREY: Final = 0.5
"""The part of that which a grey rendition takes."""

_MOST_BITS_OF_GREY: Final = 16

_SHARPENING: Final = (2, 6)
"""Bytes that a sharpened pixel takes more, without and with alpha."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Memory beyond an idle render process's, and CPU time."""

    memory_bytes: int
    cpu_s: float


def predict(
    header: Header, *, scale: int, reducing_gap: float, renditions: Sequence[Rendition], animated: bool
) -> Cost:
    """Predict what a render takes.

    ``scale`` is what a JPEG is shrunk by while it loads (1, 2, 4, 8), ``reducing_gap`` the least number of pixels,
    across or down, that go into one of any rendition after that; ``animated`` says whether all frames are decoded.
    """
    costs = INPUT_FORMATS[header.format].costs
    width, height = (header.animated_size if animated else None) or (header.width, header.height)
    pixels = ceil(width / scale) * ceil(height / scale)
    frames = header.frames if animated else 1
    encodings = [(one, encoding_cost(one, alpha=header.has_alpha, animated=animated)) for one in renditions]
    averaged = max(1, int(reducing_gap / _REDUCING_GAP))
    reduction = averaged**2
    never_whole = bool(header.band_pixels) and reduction > 1
    decoding, held = costs.memory(header, 0 if never_whole else pixels, frames)
    expanding, ready = _expanding_bytes(header)
    copied = (_BAND_BYTES * min(pixels, _BAND_PIXELS) if reduction > 1 else expanding * pixels) if expanding else 0
    source = pixels // reduction
    ready_bytes = source * (_FINISHED_BYTES if reduction > 1 else ready)
    if never_whole:
        decoding += ready_bytes + averaged * header.width * header.pixel_bytes
    if animated and costs.composites:
        held += ready_bytes  # the first frame's are held while those of the others are made
    finishing = _finishing_bytes(encodings, source, frames if animated else 0, alpha=header.has_alpha)
    if header.is_grey and not header.has_alpha and header.bits <= _MOST_BITS_OF_GREY:
        finishing *= _GREY
    copies = costs.file_copies[header.file_bytes > READ_WHOLE_BYTES]
    return Cost(
        _OVERHEAD_BYTES
        + header.file_bytes * copies
        + ceil(max(decoding, held + copied, held + ready_bytes + finishing)),
        frames
        * (
            costs.nanoseconds(header, width * height, scale) / 1e9
            + sum(_encoding_s(*each, header, animated=animated) for each in encodings)
        ),
    )


def encoding_cost(rendition: Rendition, *, alpha: bool, animated: bool) -> EncodingCost:
    """Return what each pixel of a rendition takes to encode, of an image with or without alpha."""
    name = output_name(rendition.format, lossless=rendition.lossless, keeps_more=alpha or animated)
    cost = OUTPUT_FORMATS[name].cost(rendition)
    if not rendition.sharpened:
        return cost
    return cost._replace(opaque_bytes=cost.opaque_bytes + _SHARPENING[0], alpha_bytes=cost.alpha_bytes + _SHARPENING[1])


def _expanding_bytes(header: Header) -> tuple[int, int]:
    """Return bytes a pixel while it is made ready for resampling, beside the decoded ones, and when it is."""
    if header.color_key or (header.palette and header.has_alpha):
        return 8, 8
    if header.palette or header.has_alpha:
        return 4, 4
    if header.channels == 1:
        return (0, 0) if header.bits == 8 else (4, 1)  # noqa: PLR2004 -- a byte
    return 0, 0


def _finishing_bytes(
    encodings: Sequence[tuple[Rendition, EncodingCost]], source: int, frames: int, *, alpha: bool
) -> float:
    """Return what resampling and encoding take: all renditions are held, one is encoded at a time."""
    finished = _FINISHED_BYTES * (1 + alpha)  # colours that alpha is multiplied into, and such that it is not
    held = sum(rendition.pixels * (finished + cost.frame_bytes * frames) for rendition, cost in encodings)
    largest = max((rendition.pixels for rendition, _ in encodings), default=0)
    encoding = max(
        (
            rendition.pixels
            * max(cost.animated_bytes if frames else 0, cost.alpha_bytes if alpha else cost.opaque_bytes)
            for rendition, cost in encodings
        ),
        default=0,
    )
    return held + max(_FINISHED_BYTES * sqrt(largest * source), encoding)


def _encoding_s(rendition: Rendition, cost: EncodingCost, header: Header, *, animated: bool) -> float:
    nanoseconds = cost.alpha_ns if header.has_alpha else cost.opaque_ns
    if animated:
        nanoseconds = max(nanoseconds, cost.animated_ns)
    if header.channels == 4:  # noqa: PLR2004 -- CMYK, perhaps
        nanoseconds += _PROFILE_NANOSECONDS
    return rendition.pixels * nanoseconds / 1e9

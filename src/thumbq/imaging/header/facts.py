"""The words for what a header says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thumbq.core.formats import ImageFormat

MOST_FRAMES: Final = 10_000
"""Where the counting of frames ends."""


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """How a JPEG is coded, and where in the file what lies.

    ``dc_end`` is the offset of the first marker that belongs to a scan with more than DC coefficients, None unless the
    image is progressive and the scans before give every component its DC. ``pixels_at`` is where the data of the first
    scan begins, ``end`` where the end marker does. ``sampling`` is the horizontal and vertical sampling factor of each
    component. ``one_pass`` says that one Huffman-coded sequential scan holds all components: a decoder then gives rows
    as it reads, and keeps no coefficients.
    """

    progressive: bool
    scans: int
    dc_end: int | None
    end: int
    pixels_at: int
    sampling: tuple[tuple[int, int], ...]
    one_pass: bool


@dataclass(frozen=True, slots=True)
class Header:
    """Size of the canvas as it is stored (before any turning), samples a pixel and bits a sample, and frames.

    ``channels`` counts alpha, and is 1 or (with a transparent colour) 2 for a ``palette``. ``frames`` is 1 for whatever
    is no animation (an MPO's and a HEIC's further pictures); counting ends at 10,000. ``animated_size`` is at least the
    canvas and every frame, when a frame beyond the first is larger than the canvas (GIF: it is decoded whole, then
    clipped). ``scratch_bytes`` is what the decoder holds apart from the pixels, where the header tells: a TIFF's
    largest strip or tile.
    """

    format: ImageFormat
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    palette: bool = False
    frames: int = 1
    animated_size: tuple[int, int] | None = None
    scratch_bytes: int = 0
    jpeg: JpegFacts | None = None

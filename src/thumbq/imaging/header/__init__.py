"""What an image's header says, read without a decoder: the first thing that a render does, at next to no cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thumbq.core.formats import ImageFormat

__all__ = ["Header", "JpegFacts"]


@dataclass(frozen=True, slots=True)
class JpegFacts:
    """How a JPEG is coded, and where in the file what lies.

    ``dc_end`` is the offset of the first marker that belongs to a scan with more than DC coefficients, None unless the
    image is progressive and the scans before give every component its DC. ``end`` is where the last end marker begins.
    """

    progressive: bool
    scans: int
    dc_end: int | None
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """Size of the canvas as it is stored (before any turning), samples a pixel and bits a sample, and frames.

    ``channels`` counts alpha; ``frames`` is 1 for whatever is no animation (an MPO's and a HEIC's further pictures).
    """

    format: ImageFormat
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    frames: int = 1
    jpeg: JpegFacts | None = None

"""The coding of pictures in AVIF and HEIC, from the decoder's configuration (av1C, hvcC)."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.imaging.formats.isomedia.boxes import number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box

_HIGH_BITS, _TWELVE_BITS, _MONOCHROME, _HALF_ACROSS, _HALF_DOWN = 0x40, 0x20, 0x10, 0x08, 0x04
_HEVC_SAMPLES: Final = (1.0, 1.5, 2.0, 3.0)
"""Samples a pixel by HEVC's chroma_format_idc (ITU-T H.265, table 6-1)."""


class Coding(NamedTuple):
    """Channels without alpha, bits a sample, and samples a pixel (1.5 when chroma has half the size)."""

    channels: int = 3
    bits: int = 8
    samples: float = 3.0

    def plane_bytes(self, *sizes: tuple[int, int], alpha: bool) -> int:
        """Return the bytes of the planes of a decoded picture, the largest of some sizes."""
        pixels = max(width * height for width, height in sizes)
        return ceil(pixels * (self.samples + alpha)) * (1 if self.bits == 8 else 2)  # noqa: PLR2004 -- bits of a byte


def of(original: Original, properties: Iterable[Box]) -> Coding:
    """Return the coding of the first configuration among some boxes."""
    for box in properties:
        if box.kind == b"av1C":
            flags = number(original, box.at + 2, 1)
            bits = 8 if not flags & _HIGH_BITS else 12 if flags & _TWELVE_BITS else 10
            if flags & _MONOCHROME:
                return Coding(1, bits, 1)
            return Coding(3, bits, 1 + 2 / (2 if flags & _HALF_ACROSS else 1) / (2 if flags & _HALF_DOWN else 1))
        if box.kind == b"hvcC":
            chroma, depth = number(original, box.at + 16, 1) & 3, number(original, box.at + 17, 1) & 7
            return Coding(3 if chroma else 1, 8 + depth, _HEVC_SAMPLES[chroma])
    return Coding()

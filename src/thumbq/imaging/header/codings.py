"""How the pictures of AVIF and HEIC are coded, from the decoder's configuration (av1C, hvcC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from thumbq.imaging.header.isomedia import number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.imaging import Original
    from thumbq.imaging.header.isomedia import Box

_HIGH_BITS, _TWELVE_BITS, _MONOCHROME = 0x40, 0x20, 0x10


class Coding(NamedTuple):
    """Channels without alpha, and bits a sample."""

    channels: int = 3
    bits: int = 8

    def excess_bytes(self, coded: tuple[int, int], said: tuple[int, int]) -> int:
        """Return what a decoded frame takes when it is larger than the file says, else 0."""
        pixels = coded[0] * coded[1]
        return pixels * self.channels * -(-self.bits // 8) if pixels > said[0] * said[1] else 0


def of(original: Original, properties: Iterable[Box]) -> Coding:
    """Return the coding that the first configuration among some boxes tells."""
    for box in properties:
        if box.kind == b"av1C":
            flags = number(original, box.at + 2, 1)
            bits = 8 if not flags & _HIGH_BITS else 12 if flags & _TWELVE_BITS else 10
            return Coding(1 if flags & _MONOCHROME else 3, bits)
        if box.kind == b"hvcC":
            return Coding(3 if number(original, box.at + 16, 1) & 3 else 1, 8 + (number(original, box.at + 17, 1) & 7))
    return Coding()

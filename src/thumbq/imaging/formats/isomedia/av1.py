"""AV1's sequence header (AV1 bitstream specification, 5.3 to 5.5): the largest frame that a decoder prepares for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.imaging.formats.isomedia.boxes import damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging.formats.isomedia.extents import Extents

_SEQUENCE_HEADER: Final = 1
_MOST_UNITS: Final = 10_000
_READ: Final = 128
"""No sequence header is longer up to its frame size."""


class SequenceHeader(NamedTuple):
    """The largest width and height of the frames that a sequence header announces, and its bytes, at most 128."""

    size: tuple[int, int]
    data: bytes


class Streams:
    """Looks through the streams of one file; the number of their units is bounded over all of them."""

    def __init__(self) -> None:
        self._left = _MOST_UNITS

    def sequence_headers(self, stream: Extents) -> Iterator[SequenceHeader]:
        """Yield each sequence header of a stream.

        Raises RenderRefused when there are more units than any picture has.
        """
        at = 0
        while at + 1 < stream.size:
            self._left -= 1
            if self._left < 0:
                raise damaged()
            head = stream.read(at, 10)
            at += 2 if head[0] & 4 else 1
            size = stream.size - at
            if head[0] & 2:  # its size follows
                size, length = _leb128(stream.read(at, 8))
                at += length
            if head[0] >> 3 & 15 == _SEQUENCE_HEADER:
                data = stream.read(at, min(size, _READ))
                yield SequenceHeader(_frame_size(_Bits(data)), data)
            at += size


def _frame_size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # a reduced header: the level only
        bits.take(5)
    else:
        _operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.take_uvlc()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # noqa: PLR2004 -- from level 4.0 on there are tiers
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)


def _leb128(data: bytes) -> tuple[int, int]:
    """Return a number and how many bytes it takes."""
    value = 0
    for index, byte in enumerate(data[:8]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 -- the bit that says that more follows
            return value, index + 1
    return value, len(data[:8])


class _Bits:
    """Numbers of some bits each; what lies beyond the end is 0."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return value & (1 << count) - 1

    def take_uvlc(self) -> int:
        zeros = 0
        while zeros < 32 and not self.take(1):  # noqa: PLR2004 -- longer ones do not exist
            zeros += 1
        return self.take(zeros)

"""The scans of a JPEG (ITU-T T.81, B.2.3 and G.1.1): which bits of which coefficients they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

_COEFFICIENTS: Final = 64
MOST_BITS: Final = 13
_LOWEST: Final = (1, 2, 4)
"""Across, down, and both (T.81, figure A.6)."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The parameters of a scan: its components, its band of coefficients, and the lowest bit that it brings."""

    components: tuple[int, ...]
    first: int
    last: int
    low_bit: int


def parse(parameters: bytes, *, progressive: bool) -> Scan:
    """Read what follows the length of a start of scan. Raises RenderRefused."""
    count = parameters[0] if parameters else 0
    if not count or len(parameters) != 4 + 2 * count:
        raise RenderRefused("corrupt", "the JPEG has a scan whose header is damaged")
    components = tuple(parameters[1 : 1 + 2 * count : 2])
    if not progressive:  # a sequential scan holds all, whatever it says
        return Scan(components, 0, _COEFFICIENTS - 1, 0)
    first, last, low_bit = parameters[-3], parameters[-2], parameters[-1] & 15
    if not first <= last < _COEFFICIENTS or low_bit > MOST_BITS:
        raise RenderRefused("corrupt", "the JPEG has a scan whose header is damaged")
    return Scan(components, first, last, low_bit)


class Script:
    """The coefficients that the scans so far hold."""

    def __init__(self, components: int) -> None:
        self._low_bits = [[_COEFFICIENTS] * _COEFFICIENTS for _ in range(components)]

    def add(self, scan: Scan, components: Iterable[int]) -> None:
        """Take another scan, of some of the components."""
        for component in components:
            self._low_bits[component][scan.first : scan.last + 1] = [scan.low_bit] * (scan.last + 1 - scan.first)

    @property
    def dc_bit(self) -> int:
        """The lowest bit down to which every component has the means of its blocks; 64 when one has none."""
        return max(bits[0] for bits in self._low_bits)

    @property
    def has_low(self) -> bool:
        """Whether every component has its lowest frequencies, half a wave a block, at any precision."""
        return all(bits[at] < _COEFFICIENTS for bits in self._low_bits for at in _LOWEST)

    @property
    def complete(self) -> bool:
        """Whether every coefficient of every component has come down to its last bit."""
        return not any(any(bits) for bits in self._low_bits)

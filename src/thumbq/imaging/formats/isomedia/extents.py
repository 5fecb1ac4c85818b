"""The data of an item or a sample, which may lie in several places of its file."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.imaging import Original


class Extents:
    """Parts of a file (start and length) as one run of bytes; ranges beyond the file's end are left out."""

    def __init__(self, original: Original, parts: Iterable[tuple[int, int]]) -> None:
        self._original = original
        end = len(original)
        self._parts = [(start, min(length, end - start)) for start, length in parts if start < end and length > 0]
        self._ends = list(accumulate(length for _, length in self._parts))
        self.size = self._ends[-1] if self._ends else 0

    def read(self, at: int, count: int) -> bytes:
        """Return up to some bytes from an offset on."""
        found = bytearray()
        for index in range(bisect_right(self._ends, at), len(self._parts)):
            (start, length), end = self._parts[index], self._ends[index]
            begin = start + length - (end - at)
            piece = self._original[begin : min(start + length, begin + count - len(found))]
            found += piece
            at += len(piece)
            if len(found) == count:
                break
        return bytes(found)

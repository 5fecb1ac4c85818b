"""A file that is put together from parts of another one, without copying them."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import WriteableBuffer

    from thumbq.imaging import Original

    Part = bytes | memoryview | slice


def spliced(original: Original, parts: Sequence[Part]) -> io.BufferedReader:
    """Return a file of these bytes, and of these slices (start and stop are given) of an original, in their order."""
    return io.BufferedReader(_Spliced(original, parts), buffer_size=1 << 16)


class _Spliced(io.RawIOBase):
    def __init__(self, original: Original, parts: Sequence[Part]) -> None:
        super().__init__()
        self._parts = [
            (original, part.start, part.stop) if isinstance(part, slice) else (part, 0, len(part)) for part in parts
        ]
        self._ends = list(accumulate(stop - start for _, start, stop in self._parts))
        self._at = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from one part, as far as there is room."""
        index = bisect_right(self._ends, self._at)
        if index == len(self._parts):
            return 0
        source, _, stop = self._parts[index]
        room = memoryview(buffer).cast("B")
        start = stop - (self._ends[index] - self._at)
        piece = source[start : min(stop, start + len(room))]
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

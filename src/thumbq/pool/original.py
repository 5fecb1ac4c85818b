"""The original of a render, on its way from the store to a render process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from thumbq.pool.channel import SMALL_BYTES
from thumbq.pool.memoryfile import MemoryFile, open_memory_file

if TYPE_CHECKING:
    from types import TracebackType


class Original:
    """A RenderSource: ``small`` while it has few bytes, which go with the job; else they are in ``file``."""

    def __init__(self) -> None:
        self.small = bytearray()
        self.file: MemoryFile | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.small.clear()
        self._stack.close()

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append all of ``data``."""
        if self.file is None:
            if len(self.small) + memoryview(data).nbytes <= SMALL_BYTES:
                self.small += data
                return memoryview(data).nbytes
            self.file = self._stack.enter_context(open_memory_file())
            self.file.write(self.small)
            self.small.clear()
        return self.file.write(data)

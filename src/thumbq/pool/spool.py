"""Memory files: how image bytes get from one process to another without being pickled."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spool:
    """A file in memory, open in this process under the descriptor ``fd``.

    It counts against the memory of the process's container, and is no file in /dev/shm, where Docker gives 64 MB.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append all of ``data``."""
        return write_all(self.fd, data)

    def size(self) -> int:
        """Return how many bytes are in it."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``, fewer at the end."""
        return os.pread(self.fd, size, offset)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> int:
    """Write all of ``data`` to a file and return how many bytes that was."""
    rest = memoryview(data).cast("B")
    size = len(rest)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return size


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Open an empty memory file (an unnamed temporary file where the system has none)."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("thumbq", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        yield Spool(fd)
    finally:
        os.close(fd)

"""Memory files: originals go to another process without being copied."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryFile:
    """A file in memory, open in this process under the descriptor ``fd``.

    It counts against the memory of the process's container. It is not in /dev/shm, where Docker gives 64 MB.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append all of ``data``."""
        return write_all(self.fd, data)

    @contextmanager
    def read_only(self) -> Iterator[int]:
        """Open it once more for reading only, and give the descriptor."""
        try:
            fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a system without /proc
            fd = os.dup(self.fd)
        try:
            yield fd
        finally:
            os.close(fd)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> int:
    """Write all of ``data`` to a file, and return the number of bytes."""
    rest = memoryview(data).cast("B")
    size = len(rest)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return size


@contextmanager
def open_memory_file() -> Iterator[MemoryFile]:
    """Open an empty memory file; where the system has none, or refuses it, an unnamed temporary file.

    Leaving this frees its bytes, also while another process holds or maps it.
    """
    fd = _memfd()
    if fd is None:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        yield MemoryFile(fd)
    finally:
        _empty(fd)
        os.close(fd)


def _memfd() -> int | None:
    if not hasattr(os, "memfd_create"):
        return None
    try:
        return os.memfd_create("thumbq", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM}:
            return None
        raise


def _empty(fd: int) -> None:
    with suppress(OSError, AttributeError):  # a temporary file, or a system without seals
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    os.ftruncate(fd, 0)

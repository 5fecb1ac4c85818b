"""What another process can do with a memory file that it was given."""

from __future__ import annotations

import errno
import mmap
import os
import sys

import pytest

from support.processes.marked_pool import marked_pool, pid_of_render
from thumbq.pool.memoryfile import open_memory_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")


def test_who_may_only_read_a_file_reads_all_and_cannot_change_it() -> None:
    with open_memory_file() as file:
        file.write(b"original")
        with file.read_only() as fd:
            with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as mapped:
                assert bytes(mapped) == b"original"
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(fd, b"x")
            with pytest.raises(PermissionError):
                mmap.mmap(fd, 0, access=mmap.ACCESS_WRITE)
        file.write(b" and more")
        assert os.pread(file.fd, 100, 0) == b"original and more"


def test_a_file_that_somebody_still_holds_is_empty_and_stays_so() -> None:
    with open_memory_file() as file:
        file.write(bytes(10_000))
        held = os.dup(file.fd)
    try:
        assert os.fstat(held).st_size == 0
        with pytest.raises(PermissionError):
            os.pwrite(held, b"x", 0)
    finally:
        os.close(held)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
async def test_where_memory_files_are_forbidden_a_temporary_file_does(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def forbidden(_name: str, _flags: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "memfd_create", forbidden)
    async with marked_pool() as pool:
        assert await pid_of_render(pool) in pool.pids()
    with open_memory_file() as file:
        file.write(bytes(10_000))
        held = os.dup(file.fd)
    assert os.fstat(held).st_size == 0
    os.close(held)

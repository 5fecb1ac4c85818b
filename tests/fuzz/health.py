"""The memory of the parent and of its render processes, by the kernel's count, and the stalls of an event loop."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICK_S: Final = 0.005


def reset_peak(pid: int) -> None:
    """Let the peak of a process's resident memory begin anew (proc(5), clear_refs)."""
    with suppress(FileNotFoundError, ProcessLookupError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int | None:
    """Return the peak of a process's resident memory; None when it has ended."""
    return _status(pid, "VmHWM")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process's main thread, to the microsecond (proc(5), schedstat); 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def own_bytes() -> int:
    """Return this process's resident memory, without what its allocator only keeps for later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return _status(os.getpid(), "VmRSS") or 0


def own_descriptors() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _status(pid: int, field: str) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) << 10 if found else None


class StallWatch:
    """Measures by how much an event loop is late, at most, while ``watching`` is open. ``run`` is its task."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._spell = 0
        self._open = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._spell += 1
        self._open = True
        try:
            yield
        finally:
            self._open = False

    async def run(self) -> None:
        while True:
            spell, before = self._spell, time.monotonic()
            await anyio.sleep(_TICK_S)
            if self._open and spell == self._spell:
                self.longest_s = max(self.longest_s, time.monotonic() - before - _TICK_S)


class PeakWatch:
    """Keeps the peak of a process's resident memory, which may have ended after ``watching``. ``run`` is its task."""

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self._pid: int | None = None

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        self._pid, self.peak_bytes = pid, None
        self._look()
        try:
            yield
        finally:
            self._look()
            self._pid = None

    async def run(self) -> None:
        while True:
            await anyio.sleep(_TICK_S)
            self._look()

    def _look(self) -> None:
        if self._pid is not None and (peak := peak_bytes(self._pid)) is not None:
            self.peak_bytes = max(self.peak_bytes or 0, peak)

"""Memory and CPU time of a process, from /proc. None where there is no /proc, or no such process."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_PEAK: Final = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_PSS: Final = re.compile(rb"^Pss:\s*(\d+) kB$", re.MULTILINE)
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_CPU_CLOCK: Final = 2
_OWN: Final = slice(11, 13)
_ENDED_CHILDREN: Final = slice(13, 15)
"""Where user and system time stand behind the program's name (proc_pid_stat(5))."""


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process."""
    try:
        file = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(file, 1000).split()[1]) * _PAGE_BYTES
        finally:
            os.close(file)
    except OSError:
        return None


def peak_resident_bytes(pid: int) -> int | None:
    """Return the peak of a process's resident memory, since its start or since ``forget_peak``."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_bytes())
    except OSError:
        return None
    return int(found[1]) << 10 if found else None


def forget_peak(pid: int) -> None:
    """Let ``peak_resident_bytes`` count from now on; where the kernel cannot, it counts from the start as before."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_bytes(b"5")


def cpu_s(pid: int) -> float | None:
    """Return the seconds of CPU time that a process has used since its start.

    Linux gives each process's clock a number (clock_getcpuclockid(3)), which costs a tenth of reading a file.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    return _cpu_s(pid, _OWN)


def ended_children_cpu_s(pid: int) -> float | None:
    """Return the seconds of CPU time that a process's children, and theirs, had used when they ended."""
    return _cpu_s(pid, _ENDED_CHILDREN)


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, parents before their children."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_bytes().split()):
                found += [child, *descendants(child)]
    return found


def proportional_bytes(pid: int) -> int | None:
    """Return a process's part of the resident memory: a page that several processes share counts for each in part."""
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
    except OSError:
        return None
    return int(found[1]) << 10 if found else None


def _cpu_s(pid: int, which: slice) -> float | None:
    try:
        # The second field is the program's name, which may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system = fields[which]
    return (int(user) + int(system)) / _TICKS_PER_S

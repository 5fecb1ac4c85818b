"""Memory and CPU time of a process, from /proc. None where there is no /proc, or no such process."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_PEAK: Final = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
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
    """Return the seconds of CPU time that a process has used since its start."""
    try:
        # The second field is the program's name, which may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system = fields[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S

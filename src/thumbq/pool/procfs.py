"""What the kernel says of a child: its memory and its CPU time. None where there is no /proc, or no such process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a process has resident."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return None


def cpu_s(pid: int) -> float | None:
    """Return how many seconds of CPU time a process has used since its start."""
    try:
        # The second field is the program's name, which may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system = fields[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S

"""The limit of a render process's CPU time, set by the parent: in the sandbox a process cannot change its limits."""

from __future__ import annotations

import resource
import sys
from math import ceil

MARGIN_S = 2
"""Limits are whole seconds since the start of the process, and an honest process may be a little late."""


def allow(pid: int, used_s: float | None, more_s: float) -> bool:
    """Let a process that has used so much CPU time have about so much more; then the kernel ends it by SIGXCPU.

    Returns whether that worked: not outside Linux, not without ``used_s``, and not where this process lacks the right.
    """
    if used_s is None or sys.platform != "linux":
        return False
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_CPU)[1]
        resource.prlimit(pid, resource.RLIMIT_CPU, (within(hard, ceil(used_s + more_s) + MARGIN_S), hard))
    except OSError:
        return False
    return True


def within(hard: int, value: int) -> int:
    """Return ``value``, or the hard limit if that is less."""
    return value if hard == resource.RLIM_INFINITY else min(value, hard)

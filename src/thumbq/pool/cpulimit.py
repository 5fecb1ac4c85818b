"""The limit of a child's CPU time, set by the parent: a child that is shut in cannot change its own limits."""

from __future__ import annotations

import resource
import sys
from math import ceil

MARGIN_S = 2
"""Limits are whole seconds since the child's start, and an honest child may be a little late."""


def allow(pid: int, used_s: float | None, more_s: float) -> bool:
    """Let a child that has used so much CPU time have about so much more, else the kernel ends it by SIGXCPU.

    Returns whether that worked: it does not outside Linux, without ``used_s``, or where this process may not do it.
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
    """Return a limit, or the hard limit if that is less."""
    return value if hard == resource.RLIM_INFINITY else min(value, hard)

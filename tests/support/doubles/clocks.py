"""Clocks for tests: the machine's, and one whose wall time is set by hand."""

from __future__ import annotations

import time


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class SetClock(SystemClock):
    """Wall time stands still until it is moved; the event loop's time goes on."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.now = wall

    def wall(self) -> float:
        return self.now


class HandClock(SystemClock):
    """Monotonic time stands still until it is moved."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

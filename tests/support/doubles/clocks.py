"""Clocks for tests: the event loop's, and two that are set by hand."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The time of the event loop that it was made on, virtual or not; the machine's where none runs."""

    def __init__(self) -> None:
        try:
            self._time = asyncio.get_running_loop().time
        except RuntimeError:
            self._time = time.monotonic
        self._epoch = time.time() - self._time()

    def monotonic(self) -> float:
        return self._time()

    def wall(self) -> float:
        return self._epoch + self._time()


class SetClock(SystemClock):
    """Wall time stands still until it is moved; the event loop's time goes on."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        super().__init__()
        self.now = wall

    def wall(self) -> float:
        return self.now


class HandClock(SystemClock):
    """Monotonic time stands still until it is moved."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

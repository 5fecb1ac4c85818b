"""A limit of how many messages a second a command sends."""

from __future__ import annotations

from typing import Final

import anyio

MAX_RATE: Final = 500
"""The most messages a second of a limited command: SQS's for its own redrive (API Reference, StartMessageMoveTask)."""


class RateLimiter:
    """Lets callers through at equal intervals, ``rate`` a second; without a rate at once."""

    def __init__(self, rate: int | None) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._next_at = anyio.current_time()

    async def wait(self) -> None:
        """Wait until the next caller may go on."""
        at = max(self._next_at, anyio.current_time())
        self._next_at = at + self._interval_s
        await anyio.sleep_until(at)

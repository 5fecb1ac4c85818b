"""The pace of a redrive."""

from __future__ import annotations

import anyio


class Pace:
    """Lets one caller through at a time, at most ``rate`` a second; without a rate at once."""

    def __init__(self, rate: int | None) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._next_at = anyio.current_time()

    async def wait(self) -> None:
        """Wait for one's turn."""
        at = max(self._next_at, anyio.current_time())
        self._next_at = at + self._gap_s
        await anyio.sleep_until(at)

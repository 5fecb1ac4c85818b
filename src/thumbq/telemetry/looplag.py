"""How late the event loop is: what runs too long at a stretch makes everything else wait."""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio

_EVERY_S: Final = 1.0
_KEPT: Final = 15


class LoopLag:
    """Measures the delay of a timer, once a second."""

    def __init__(self) -> None:
        self._delays: deque[float] = deque([0.0], maxlen=_KEPT)

    @property
    def longest_s(self) -> float:
        """The longest delay of the last 15 s."""
        return max(self._delays)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = anyio.current_time() + _EVERY_S
            await anyio.sleep_until(due)
            self._delays.append(max(anyio.current_time() - due, 0.0))

"""Log lines about what clients can make happen thousands of times a second."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

import structlog

EVERY_S: Final = 60.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Tally:
    """Counts an event and logs it once a minute: ``count`` is how often it was since the line before.

    It is a warning, and an error where a person has to see to it (``is_ours``).
    """

    def __init__(self, event: str, *, is_ours: bool = False) -> None:
        self._event = event
        self._is_ours = is_ours
        self._count = 0
        self._said_at = -math.inf

    def add(self, **members: Any) -> None:
        """Count one; the line has these members."""
        self._count += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= EVERY_S:
            self._said_at = now
            write = log.error if self._is_ours else log.warning
            write(self._event, count=self._count, **members)
            self._count = 0

"""Going through all dead letters of a queue, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from thumbq.deadletters.leases import LEASE_S, ROUND
from thumbq.deadletters.limits import MOST_REMEMBERED

if TYPE_CHECKING:
    from thumbq.deadletters.leases import DeadLetterLeases
    from thumbq.ports import DeadLetter


class Scan:
    """Goes through the dead letters of a queue, each once."""

    def __init__(self, leases: DeadLetterLeases) -> None:
        self._leases = leases
        self._seen: set[str] = set()
        self._new_at = anyio.current_time()

    @property
    def seen(self) -> int:
        """How many dead letters were returned."""
        return len(self._seen)

    async def next(self, limit: int = ROUND) -> list[DeadLetter]:
        """Return up to ``limit`` dead letters that were not returned before; an empty list is the end.

        A scan of more than a minute meets the dead letters of its beginning again. So it also ends when a minute has
        brought no new one, or when MOST_REMEMBERED were seen.
        """
        while self.seen < MOST_REMEMBERED:
            received = await self._leases.receive(min(limit, MOST_REMEMBERED - self.seen))
            new = {dead_letter.id: dead_letter for dead_letter in received if dead_letter.id not in self._seen}
            self._seen.update(new)
            now = anyio.current_time()
            if new:
                self._new_at = now
            if new or not received or now - self._new_at > LEASE_S:
                return list(new.values())
        return []

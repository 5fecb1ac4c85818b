"""How many messages the queues have, asked for from time to time by one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.ports import JobQueue, QueueCounts

EVERY_S: Final = 30.0


class QueueCountsWatch:
    """Asks each of the queues, by their names, every 30 s: two requests on SQS. ``last`` has what they said."""

    def __init__(self, queues: Mapping[str, JobQueue]) -> None:
        self._queues = queues
        self.last: dict[str, QueueCounts] = {}
        """A queue that did not answer is missing: an old number would look like a new one."""

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for name, queue in self._queues.items():
                try:
                    self.last[name] = await queue.counts()
                except BackendError:  # receives tell of outages
                    self.last.pop(name, None)
            await anyio.sleep(EVERY_S)

"""Which queues are paused, as this replica has last seen it in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.errors import BackendError, BackendRefused
from thumbq.pauses import read_pause
from thumbq.worker.pausablequeue import PausableQueue, QueuePause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.pauses import Pause
    from thumbq.ports import Backend, ObjectStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 15.0
"""A GET for each queue: 7 cents a month for a replica and a queue. A LIST of all of them would be 86 cents."""

_FIRST_LOOK_EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 4.0
"""How long one look may take; with the time between two of them it is less than ``HOLDS_AFTER_S``."""


class PauseWatch:
    """Looks every 15 s which of the ``queues`` are paused; these are their names for people."""

    def __init__(self, store: ObjectStore, bucket: str, queues: Iterable[str]) -> None:
        self._store = store
        self._bucket = bucket
        self._queues = {name: QueuePause() for name in queues}
        self._refused = False

    def pausable(self, backend: Backend, queue: str) -> Backend:
        """Return a queue's backend for those who receive from it; ``queue`` is its name for people."""
        return replace(backend, queue=PausableQueue(backend.queue, self._queues[queue]))

    def paused(self) -> dict[str, Pause]:
        """Return the pauses that this replica knows of, by the queues' names."""
        return {name: queue.pause for name, queue in self._queues.items() if queue.pause is not None}

    async def run(self) -> None:
        """Look until cancelled: at once, and more often until the store has answered for the first time."""
        while True:
            began_at = anyio.current_time()
            async with anyio.create_task_group() as looks:
                for name in self._queues:
                    looks.start_soon(self._look, name)
            known = all(queue.known for queue in self._queues.values())
            await anyio.sleep_until(began_at + (LOOK_EVERY_S if known else _FIRST_LOOK_EVERY_S))

    async def _look(self, name: str) -> None:
        """See whether a queue is paused; without an answer it stays as it was."""
        queue, asked_at = self._queues[name], anyio.current_time()
        try:
            with anyio.fail_after(_TIMEOUT_S):
                pause = await read_pause(self._store, self._bucket, name)
        except BackendRefused as error:
            # It would be so for ever, and the jobs may have all rights that they need.
            self._warn(error)
            pause = None
        except (BackendError, TimeoutError):
            queue.stays(asked_at)
            return
        if pause is not None and queue.pause is None:
            log.warning("queue.paused", queue=name, since=pause.since)
        elif pause is None and queue.pause is not None:
            log.info("queue.resumed", queue=name)
        queue.is_now(pause, asked_at)

    def _warn(self, error: BackendError) -> None:
        if not self._refused:
            self._refused = True
            problem = f"whether a queue is paused cannot be seen: {error}"
            log.warning("service.warning", problem=problem, fix="allow s3:GetObject on paused/*")

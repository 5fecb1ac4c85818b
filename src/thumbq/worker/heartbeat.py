"""The heartbeat: one loop extends all leases of a queue that are due, in batches, until each is closed or lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.errors import BackendError
from thumbq.jobs.reporting import report_request
from thumbq.ports import EntryResult, batches
from thumbq.ports.observing import BeatsFailed, emit
from thumbq.worker.lease import LeaseState
from thumbq.worker.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.ports import Clock, JobQueue, VisibilityChange
    from thumbq.worker.lease import Lease
    from thumbq.worker.queuehealth import QueueHealth

_ITERATION_S: Final = 1.0
"""How often to look at the clock at the least: it also counts while the machine sleeps, and timers do not."""

_IDLE_ITERATION_S: Final = 5.0
_FAILED: Final = frozenset({EntryResult.LOST, EntryResult.RETRY})


class Heartbeat:
    """Sends the heartbeats of one queue's leases, each ``interval_s`` after the one before.

    ``name`` is the queue's in the settings.
    """

    def __init__(self, queue: JobQueue, *, clock: Clock, health: QueueHealth, interval_s: float, name: str) -> None:
        self.liveness = Liveness(clock)
        self._queue = queue
        self._clock = clock
        self._health = health
        self._interval_s = interval_s
        self._name = name
        self._leases: dict[Lease, None] = {}
        self._changed = anyio.Event()

    def add(self, lease: Lease) -> None:
        """Keep a lease from now on."""
        self._leases[lease] = None
        self._changed.set()

    def keeps_any(self) -> bool:
        """Whether there is a lease that has not begun to close."""
        return any(lease.is_open() for lease in self._leases)

    async def run(self) -> None:
        """Keep leases until cancelled."""
        async with anyio.create_task_group() as beats:
            while True:
                self.liveness.note()
                self._changed = anyio.Event()
                self._leases = {lease: None for lease in self._leases if lease.holds() and lease.is_open()}
                due = self._due(self._clock.monotonic())
                for batch in batches(due):
                    sent_at = self._clock.monotonic()
                    changes = [lease.begin_beat(sent_at) for lease in batch]
                    beats.start_soon(self._beat, batch, changes, sent_at)
                with anyio.move_on_after(self._until_next(self._clock.monotonic())):
                    await self._changed.wait()

    def _due(self, now: float) -> list[Lease]:
        """Return what to extend now: once one lease is due, all that would be within half an interval go along."""
        held = [lease for lease in self._leases if lease.state is LeaseState.HELD]
        if not any(lease.next_beat <= now for lease in held):
            return []
        return [lease for lease in held if lease.next_beat <= now + self._interval_s / 2]

    def _until_next(self, now: float) -> float:
        times = [lease.deadline for lease in self._leases]
        times += [lease.next_beat for lease in self._leases if lease.state is LeaseState.HELD]
        longest_s = _ITERATION_S if self._leases else _IDLE_ITERATION_S
        return min(max(min(times, default=math.inf) - now, 0.0), longest_s)

    async def _beat(self, batch: Sequence[Lease], changes: Sequence[VisibilityChange], sent_at: float) -> None:
        results: Sequence[EntryResult] = [EntryResult.RETRY] * len(batch)
        try:
            # Bounded, so that a heartbeat that hangs leaves time for another one.
            with anyio.move_on_after(max(1.0, self._interval_s / 2)):
                results = await self._queue.extend(changes)
                self._health.answered()
        except BackendError as error:
            self._health.failed()
            report_request("lease.beat_failed", error, leases=len(batch))
        finally:
            for lease, change, result in zip(batch, changes, results, strict=True):
                lease.end_beat(result, sent_at=sent_at, timeout_s=change.timeout_s)
            self._changed.set()
        if failed := sum(result in _FAILED for result in results):
            emit(BeatsFailed(self._name, failed))

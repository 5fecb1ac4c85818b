"""Leases: our hold on received messages, and the one keeper that extends them.

A lease moves ``held → extending → held`` with each beat and ends as ``lost``, or through ``closing``, in which the
disposition is the last call on its receipt, as ``closed``. Two calls on one receipt are never in flight together.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.errors import BackendError
from thumbq.ports import MAX_BATCH, MAX_LEASE_S, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.ports import Clock, JobQueue, ReceivedMessage
    from thumbq.worker.queuehealth import QueueHealth

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_CAP_MARGIN_S: Final = 3
_TURN_S: Final = 1.0
"""How often to look at the clock at the least: it also counts while the machine sleeps, and timers do not."""

_IDLE_TURN_S: Final = 5.0


class LeaseState(Enum):
    """Where a lease is in its life."""

    HELD = "held"
    EXTENDING = "extending"
    LOST = "lost"
    CLOSING = "closing"
    CLOSED = "closed"


class Lease:
    """One receipt and what we know of our hold on it. All times are on the clock's monotonic scale."""

    def __init__(
        self, message: ReceivedMessage, *, received_at: float, deadline: float, on_lost: Callable[[], None]
    ) -> None:
        self.message = message
        self.received_at = received_at
        self.deadline = deadline
        self.next_beat = received_at
        self.state = LeaseState.HELD
        self.on_lost = on_lost
        self.lost_because: str | None = None
        self.beat_ended = anyio.Event()


class LeaseKeeper:
    """Extends all leases that are due, in batches, until each is closed or lost."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        clock: Clock,
        health: QueueHealth,
        visibility_timeout_s: int,
        beat_interval_s: float,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._health = health
        self._timeout_s = visibility_timeout_s
        self._margin_s = min(2.0, visibility_timeout_s / 10)
        self._interval_s = beat_interval_s
        self._leases: dict[Lease, None] = {}
        self._changed = anyio.Event()
        self.last_turn = clock.monotonic()
        """When the loop went round last, for the health check."""

    def hold(self, message: ReceivedMessage, *, arrived_at: float, on_lost: Callable[[], None]) -> Lease:
        """Start to keep a message whose receive was answered at ``arrived_at``.

        ``on_lost`` is called, once and from the keeper's task, when the message is no longer ours.
        """
        lease = Lease(
            message,
            received_at=arrived_at,
            deadline=arrived_at + self._timeout_s - self._margin_s,
            on_lost=on_lost,
        )
        lease.next_beat = arrived_at + self._interval_s
        self._leases[lease] = None
        self._changed.set()
        return lease

    def holds(self, lease: Lease) -> bool:
        """Whether the message is still ours, also when the loop has not come round to see that it is not."""
        if lease.state in {LeaseState.HELD, LeaseState.EXTENDING} and lease.deadline <= self._clock.monotonic():
            self._lose(lease, "its deadline passed")
        return lease.state is not LeaseState.LOST

    async def close(self, lease: Lease) -> bool:
        """Stop the beats, so that the caller's next call is the last one on the receipt; False when it is lost."""
        while self.holds(lease) and lease.state is LeaseState.EXTENDING:
            await lease.beat_ended.wait()
        if not self.holds(lease):
            return False
        lease.state = LeaseState.CLOSING
        self._leases.pop(lease, None)
        return True

    async def run(self) -> None:
        """Keep leases until cancelled."""
        async with anyio.create_task_group() as beats:
            while True:
                self.last_turn = now = self._clock.monotonic()
                self._changed = anyio.Event()
                for lease in list(self._leases):
                    self.holds(lease)
                due = self._due(now)
                for start in range(0, len(due), MAX_BATCH):
                    batch = due[start : start + MAX_BATCH]
                    for lease in batch:
                        lease.state = LeaseState.EXTENDING
                        lease.beat_ended = anyio.Event()
                    beats.start_soon(self._beat, batch)
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
        return min(max(min(times, default=math.inf) - now, 0.0), _TURN_S if self._leases else _IDLE_TURN_S)

    async def _beat(self, batch: Sequence[Lease]) -> None:
        sent_at = self._clock.monotonic()
        results: Sequence[EntryResult] = [EntryResult.RETRY] * len(batch)
        changes = [VisibilityChange(lease.message.receipt, self._timeout_for(lease, sent_at)) for lease in batch]
        try:
            # Bounded, so that a beat that hangs leaves time for another one.
            with anyio.move_on_after(max(1.0, self._interval_s / 2)):
                results = await self._queue.extend(changes)
                self._health.answered()
        except BackendError as error:
            self._health.failed()
            log.warning("lease.beat_failed", leases=len(batch), error=str(error))
        finally:
            for lease, change, result in zip(batch, changes, results, strict=True):
                self._settle(lease, result, sent_at=sent_at, timeout_s=change.timeout_s)
            self._changed.set()

    def _timeout_for(self, lease: Lease, now: float) -> int:
        room = MAX_LEASE_S - math.ceil(now - lease.received_at) - _CAP_MARGIN_S
        return max(1, min(self._timeout_s, room))

    def _settle(self, lease: Lease, result: EntryResult, *, sent_at: float, timeout_s: int) -> None:
        if lease.state is LeaseState.EXTENDING:
            lease.state = LeaseState.HELD
            if result is EntryResult.OK:
                lease.deadline = max(lease.deadline, sent_at + timeout_s - self._margin_s)
                lease.next_beat = sent_at + self._interval_s if timeout_s == self._timeout_s else math.inf
            elif result is EntryResult.RETRY:
                lease.next_beat = self._clock.monotonic() + min(1.0, self._interval_s / 4)
            elif result is EntryResult.CAPPED:
                lease.next_beat = math.inf
            else:
                self._lose(lease, "the queue says so")
        lease.beat_ended.set()

    def _lose(self, lease: Lease, reason: str) -> None:
        self._leases.pop(lease, None)
        lease.state = LeaseState.LOST
        lease.lost_because = reason
        lease.beat_ended.set()
        lease.on_lost()

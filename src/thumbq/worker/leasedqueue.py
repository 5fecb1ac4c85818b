"""One queue, and our hold on its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.errors import BackendError
from thumbq.jobs.reporting import report_away
from thumbq.ports.observing import StageEnded, emit
from thumbq.ports.tracing import InStage, during
from thumbq.worker.acks import Acks
from thumbq.worker.heartbeat import Heartbeat
from thumbq.worker.lease import Lease
from thumbq.worker.liveness import Liveness
from thumbq.worker.queuehealth import QueueHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from thumbq.ports import Clock, JobQueue

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_STALL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a receive waits for messages, how long they stay hidden, and how often that is extended; in seconds."""

    wait_s: int
    visibility_timeout_s: int
    beat_interval_s: float


class LeasedQueue:
    """Receives messages of one queue, each held by a lease; extends the leases; ends each by a delete or a release.

    Deletes wait for each other while there is a ``backlog``. ``name`` is the queue's in the settings.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        times: LeaseTimes,
        clock: Clock,
        random: Random,
        backlog: Callable[[], bool] = lambda: False,
        name: str = "",
    ) -> None:
        self.name = name
        self._receiving = Liveness(clock)
        self._queue = queue
        self._times = times
        self._clock = clock
        self._health = QueueHealth(clock)
        self._heartbeat = Heartbeat(
            queue, clock=clock, health=self._health, interval_s=times.beat_interval_s, name=name
        )
        self._acks = Acks(queue=queue, clock=clock, health=self._health, random=random, more_come=self._more_come)
        self._backlog = backlog
        self._stopped = False
        self._warned = False

    async def run(self) -> None:
        """Extend leases and send acks until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heartbeat.run)
            tasks.start_soon(self._acks.run)

    async def receive(self, max_messages: int) -> Sequence[Lease] | None:
        """Return a lease on each message that came; None when the queue did not answer.

        The call must not be cancelled; ``stop_receiving`` ends it.
        """
        asked_at = self._clock.monotonic()
        try:
            messages = await self._queue.receive(
                max_messages=max_messages,
                wait_s=self._times.wait_s,
                visibility_timeout_s=self._times.visibility_timeout_s,
            )
        except BackendError as error:
            self._receiving.note()
            self._health.receive_failed(asked_at)
            away_s = self._health.failing_s()
            report_away("receive.failed", away_s=away_s, error=str(error), failures=self.failed_receives)
            return None
        self._health.received()
        self._receiving.note()
        if not all(message.counted for message in messages):
            self._warn_uncounted()
        arrived_at = self._clock.monotonic()
        leases = [
            Lease(
                message,
                received_at=arrived_at,
                timeout_s=self._times.visibility_timeout_s,
                beat_interval_s=self._times.beat_interval_s,
                clock=self._clock,
            )
            for message in messages
        ]
        for lease in leases:
            self._heartbeat.add(lease)
        return leases

    def _more_come(self) -> bool:
        """Whether more deletes are sure to come: of what is in flight, and of the backlog behind it."""
        return not self._stopped and self._heartbeat.keeps_any() and self._backlog()

    def _warn_uncounted(self) -> None:
        if not self._warned:
            self._warned = True
            problem = "the queue does not say how often a message was received: each receive counts as the first one"
            fix = "use a server that gives ApproximateReceiveCount; until then its redrive policy alone ends a message"
            log.warning("service.warning", problem=problem, fix=fix)

    def note_waiting(self) -> None:
        """Note that the caller of ``receive`` is alive, and has a reason not to call it now."""
        self._receiving.note()

    @property
    def failed_receives(self) -> int:
        """How many receives in a row were not answered."""
        return self._health.failed_receives

    def stop_receiving(self) -> None:
        """Have an open receive return as soon as the queue allows, without losing what it brings."""
        self._stopped = True
        self._queue.stop_receiving()

    async def delete(self, lease: Lease, *, urgent: bool = False) -> bool:
        """Remove a message from the queue; False when its lease ended before that was done.

        ``urgent`` where another message waits for it.
        """
        if not await lease.close():
            return False
        began = self._clock.monotonic()
        with during(InStage("ack", self.name)) as note:
            note(message_id=lease.message.id)
            try:
                return await self._acks.delete(lease, urgent=urgent)
            finally:
                lease.closed()
                emit(StageEnded("ack", self.name, self._clock.monotonic() - began))

    async def release(self, lease: Lease, delay_s: float) -> None:
        """Make a message visible again after ``delay_s``, or as late as that can be, if its lease still stands."""
        if await lease.close():
            try:
                await self._acks.release(lease, min(delay_s, lease.longest_s(self._clock.monotonic())))
            finally:
                lease.closed()

    async def answers_again(self) -> None:
        """Wait until a heartbeat or an ack is answered after others were not."""
        await self._health.recovered.wait()

    def not_alive(self) -> str | None:
        """Say which loop has stopped, if one has."""
        if not self._stopped and self._receiving.has_stalled(longest_s=self._times.wait_s + _STALL_S):
            return "the receive loop has stopped"
        if self._heartbeat.liveness.has_stalled(longest_s=_STALL_S):
            return "the heartbeat loop has stopped"
        return None

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        return self._health.not_receiving()

    def away_since(self) -> float | None:
        """Return since when receives have failed, in POSIX seconds, if it is longer than a hiccup."""
        return self._health.away_since()

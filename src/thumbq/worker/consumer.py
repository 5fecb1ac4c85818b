"""The consumer: handles each received message under its lease, and stops in order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import anyio
import structlog

from thumbq.core.retry import Abandon, Bury, Delete, Disposition, Release
from thumbq.jobs.fencing import fenced
from thumbq.jobs.stopping import StopRequest
from thumbq.ports.observing import LeaseLost, emit
from thumbq.ports.tracing import Handling, during

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.jobs.burial import Burial
    from thumbq.jobs.delivery import Delivery
    from thumbq.ports import ReceivedMessage
    from thumbq.worker.deadlettersweep import DeadLetterSweep
    from thumbq.worker.lease import Lease
    from thumbq.worker.leasedqueue import LeasedQueue
    from thumbq.worker.receiver import Receiver

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Handler(Protocol):
    """What a queue's messages are for: jobs, or callbacks."""

    def deliveries(self, messages: Sequence[ReceivedMessage], stop: StopRequest) -> Sequence[Delivery]:
        """Return the deliveries of one receive's messages, in their order."""
        ...

    async def handle(self, delivery: Delivery) -> Delete | Release | Bury:
        """Do what a message asks for, and say what becomes of it. Never raises for what goes wrong with it."""
        ...


class Consumer:
    """Takes messages from one queue, handles as many at once as there are places, and carries out their dispositions.

    ``sweep`` is None when the queue has no dead letters.
    """

    def __init__(
        self,
        *,
        queue: LeasedQueue,
        receiver: Receiver,
        handler: Handler,
        burial: Burial,
        sweep: DeadLetterSweep | None,
    ) -> None:
        self._queue = queue
        self._receiver = receiver
        self._handler = handler
        self._burial = burial
        self._sweep = sweep
        self._stop = StopRequest()
        self._receiving = anyio.CancelScope()
        self._handling: set[anyio.CancelScope] = set()
        self._ending: set[anyio.CancelScope] = set()
        self._ends_at = math.inf

    async def run(self) -> None:
        """Consume until ``stop`` was called and every message has its disposition carried out."""
        async with anyio.create_task_group() as side:
            side.start_soon(self._queue.run)
            if self._sweep is not None:
                side.start_soon(self._sweep.run)
            async with anyio.create_task_group() as messages:
                with self._receiving:
                    while (leases := await self._receiver.next()) is not None:
                        deliveries = self._handler.deliveries([lease.message for lease in leases], self._stop)
                        for lease, delivery in zip(leases, deliveries, strict=True):
                            messages.start_soon(self._consume, lease, delivery)
            side.cancel_scope.cancel()

    def stop(self) -> None:
        """Receive no more. What has not started and what the open receive still brings is given back; the rest ends."""
        self._receiver.stop()
        if self._sweep is not None:
            self._sweep.stop()
        self._stop.request()

    def abort(self, *, within_s: float) -> None:
        """Cut running jobs off: their renders are killed and their messages given back, all ``within_s`` seconds."""
        self._ends_at = anyio.current_time() + within_s
        self._receiving.cancel()
        for scope in self._handling:
            scope.cancel()
        for scope in self._ending:
            scope.deadline = self._ends_at

    def places(self) -> tuple[int, int]:
        """Return how many messages are in flight, and how many may be."""
        return self._receiver.places()

    def not_alive(self) -> str | None:
        """Say which loop has stopped, if one has."""
        return self._queue.not_alive()

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        return self._queue.not_receiving()

    def away_since(self) -> float | None:
        """Return since when receives have failed, in POSIX seconds, if it is longer than a hiccup."""
        return self._queue.away_since()

    async def _consume(self, lease: Lease, delivery: Delivery) -> None:
        message = lease.message
        structlog.contextvars.bind_contextvars(message_id=message.id, receive_count=message.receive_count)
        with during(Handling(self._queue.name, message.id, message.receive_count, message.sender)) as note:
            disposition = await self._disposition(lease, delivery)
            note(disposition=type(disposition).__name__.lower())
            if isinstance(disposition, Release | Abandon):
                # What waits behind it goes back with it. The queue hands out none of them before this one is visible.
                delivery.position.end(removed=False)
            delivery.position.end(removed=await self._end(lease, delivery, disposition))

    async def _disposition(self, lease: Lease, delivery: Delivery) -> Disposition:
        """Handle a message under its lease, and say what becomes of it."""
        disposition: Disposition = Release()
        with lease.cancelling() as scope:
            self._handling.add(scope)
            try:
                # After ``abort`` nothing begins: what it cuts off is what runs then.
                if math.isinf(self._ends_at):
                    with fenced(lease.holds):
                        disposition = await self._handler.handle(delivery)
            finally:
                self._handling.discard(scope)
                self._receiver.give_back_place()
        if lease.lost_because is not None:
            disposition = Abandon()
            emit(LeaseLost(self._queue.name))
            log.warning("lease.lost", reason=lease.lost_because)
        return disposition

    async def _end(self, lease: Lease, delivery: Delivery, disposition: Disposition) -> bool:
        """Carry a disposition out, also while the consumer stops; True when the message is off the queue."""
        log.debug("message.disposition", disposition=type(disposition).__name__.lower())
        with anyio.CancelScope(shield=True, deadline=self._ends_at) as scope:
            self._ending.add(scope)
            try:
                with fenced(lease.holds):
                    return await self._carry_out(lease, delivery, disposition)
            except Exception:  # a bug over one message must not cancel the others: it comes back by its time-out
                log.exception("disposition.bug")
                await lease.close()
            finally:
                self._ending.discard(scope)
        return False

    async def _carry_out(self, lease: Lease, delivery: Delivery, disposition: Disposition) -> bool:
        if isinstance(disposition, Bury):
            disposition = await self._burial.bury(lease.message, disposition)
        if isinstance(disposition, Abandon):
            return False
        if isinstance(disposition, Release):
            await self._queue.release(lease, disposition.delay_s)
            return False
        return await self._queue.delete(lease, urgent=delivery.position.has_successor)

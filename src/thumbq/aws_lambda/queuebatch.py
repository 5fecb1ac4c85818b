"""One queue's messages of an invocation, handled in the time that there is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import structlog

from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import AccessDenied, BackendError
from thumbq.jobs.handler import BUG_DELAY_S
from thumbq.jobs.stopping import StopRequest
from thumbq.ports import VisibilityChange, batches
from thumbq.ports.tracing import Handling, during

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.jobs.burial import Burial
    from thumbq.jobs.delivery import Delivery
    from thumbq.jobs.handler import MessageHandler
    from thumbq.ports import JobQueue, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """When what ends in an invocation, on the event loop's clock."""

    work: float
    """Nothing starts after this, and renders that run are killed."""
    recording: float
    """Nothing more is said of the messages to S3 and the dead-letter queue."""
    releasing: float
    """Nothing more is said to the queue: the function answers."""

    @classmethod
    def within(cls, remaining_s: float) -> Times:
        """Divide what is left until Lambda ends the function: its last 2 s, or the last fifth, are not for work."""
        now, margin_s = anyio.current_time(), min(2.0, remaining_s / 5)
        end = now + remaining_s
        return cls(end - margin_s, end - margin_s * 0.35, end - margin_s * 0.15)


class QueueBatch:
    """Handles messages of one queue, which is called ``name``, ``places`` at once.

    A FIFO queue's come one after the other in each group.
    """

    def __init__(
        self, *, name: str, queue: JobQueue, handler: MessageHandler, burial: Burial, places: anyio.Semaphore
    ) -> None:
        self._name = name
        self._queue = queue
        self._handler = handler
        self._burial = burial
        self._places = places
        self._stop = StopRequest()
        self._denied = False

    async def handle(self, messages: Sequence[ReceivedMessage], times: Times) -> Sequence[str]:
        """Do the jobs of ``messages`` and return the ids of those that have to come again, in their order.

        What failed for a time is hidden for a while, the rest of what comes again not at all; where that cannot be
        said to the queue in time, it comes when its visibility time-out ends.
        """
        delays: dict[ReceivedMessage, float] = {}

        async def handle_one(delivery: Delivery) -> None:
            disposition = await self._one(delivery, times)
            if isinstance(disposition, Release):
                delays[delivery.message] = disposition.delay_s

        async with anyio.create_task_group() as tasks:
            for delivery in self._handler.deliveries(messages, self._stop):
                tasks.start_soon(handle_one, delivery)
        again = [message for message in messages if message in delays]
        changes = [VisibilityChange(message.receipt, math.ceil(delays[message])) for message in again]
        with anyio.move_on_at(times.releasing):
            await self._release(changes)
        return [message.id for message in again]

    async def _one(self, delivery: Delivery, times: Times) -> Delete | Release:
        message = delivery.message
        structlog.contextvars.bind_contextvars(message_id=message.id, receive_count=message.receive_count)
        with during(Handling(self._name, message.id, message.receive_count, message.sender)) as note:
            settled = await self._settled(delivery, times)
            note(disposition=type(settled).__name__.lower())
        return settled

    async def _settled(self, delivery: Delivery, times: Times) -> Delete | Release:
        """Handle a message, bury it where that is to be, and say what is left to do with it."""
        message = delivery.message
        decided: Delete | Release | Bury = Release()
        settled: Delete | Release = Release()
        try:
            with anyio.CancelScope(deadline=times.work) as scope:
                async with self._places:
                    decided = await self._handler.handle(delivery)
            with anyio.CancelScope(deadline=times.recording):
                if scope.cancelled_caught:
                    log.warning("message.out_of_time")
                    why = f"the function's time ended at the last of {message.receive_count} receives"
                    decided = await self._handler.unfinished(delivery, why)
                settled = await self._burial.bury(message, decided) if isinstance(decided, Bury) else decided
        except Exception:  # a bug over one message must not cancel the others: it is logged whole
            log.exception("message.bug")
            settled = Release(BUG_DELAY_S)
        finally:
            delivery.position.end(removed=isinstance(settled, Delete))
        return settled

    async def _release(self, changes: Sequence[VisibilityChange]) -> None:
        async with anyio.create_task_group() as calls:
            for batch in batches(changes):
                calls.start_soon(self._release_batch, batch)

    async def _release_batch(self, changes: Sequence[VisibilityChange]) -> None:
        try:
            await self._queue.extend(changes)
        except AccessDenied as error:
            if not self._denied:
                fix = "allow sqs:ChangeMessageVisibility; until then retries wait for the visibility time-out"
                log.warning("release.denied", error=str(error), fix=fix)
            self._denied = True
        except BackendError as error:
            log.warning("release.failed", entries=len(changes), error=str(error))

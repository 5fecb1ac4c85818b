"""One queue's messages of an invocation, worked off in the time that there is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import AccessDenied, BackendError
from thumbq.jobs.burial import bury
from thumbq.jobs.delivery import Work
from thumbq.jobs.groups import Turn, turns
from thumbq.ports import MAX_BATCH, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.jobs.burial import Burial
    from thumbq.jobs.handler import MessageHandler
    from thumbq.ports import Backend, QueueAttributes, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BUG_DELAY_S: Final = 30.0
_TIDY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Times:
    """When what ends in an invocation, on the event loop's clock."""

    work: float
    """Nothing starts after this, and renders that run are killed."""
    tidying: float
    """Nothing more is said of the messages to S3 and the dead-letter queue."""
    releasing: float
    """Nothing more is said to the queue: the function answers."""

    @classmethod
    def within(cls, remaining_s: float) -> Times:
        """Divide what is left until Lambda ends the function: its last 2 s, or the last fifth, are not for work."""
        now, margin_s = anyio.current_time(), min(2.0, remaining_s / 5)
        end = now + remaining_s
        return cls(end - margin_s, end - margin_s * 0.35, end - margin_s * 0.15)


class QueueWork:
    """Works off messages of one queue, ``places`` at once. A FIFO queue's come one after the other in each group."""

    def __init__(
        self,
        *,
        backend: Backend,
        attributes: QueueAttributes,
        jobs: MessageHandler,
        burial: Burial | None,
        places: anyio.Semaphore,
        random: Random,
    ) -> None:
        self._queue = backend.queue
        self._fifo = attributes.fifo
        self._jobs = jobs
        self._burial = burial
        self._places = places
        self._random = random
        self._denied = False

    async def work_off(self, messages: Sequence[ReceivedMessage], times: Times) -> Sequence[str]:
        """Do the jobs of ``messages`` and return the ids of those that have to come again, in their order.

        What failed for a time is hidden for a while, the rest of what comes again not at all; where that cannot be
        said to the queue in time, it comes when its visibility time-out ends.
        """
        delays: dict[ReceivedMessage, float] = {}

        async def work_on(message: ReceivedMessage, turn: Turn) -> None:
            disposition = await self._one(message, turn, times)
            if isinstance(disposition, Release):
                delays[message] = disposition.delay_s

        async with anyio.create_task_group() as tasks:
            for message, turn in turns(messages, fifo=self._fifo):
                tasks.start_soon(work_on, message, turn)
        again = [message for message in messages if message in delays]
        changes = [VisibilityChange(message.receipt, math.ceil(delays[message])) for message in again]
        with anyio.move_on_at(times.releasing):
            await self._release(changes)
        return [message.id for message in again]

    async def _one(self, message: ReceivedMessage, turn: Turn, times: Times) -> Delete | Release:
        structlog.contextvars.bind_contextvars(message_id=message.id, receive_count=message.receive_count)
        work = Work(message)
        decided: Delete | Release | Bury = Release()
        settled: Delete | Release = Release()
        try:
            with anyio.CancelScope(deadline=times.work) as scope:
                decided = await self._decided(work, turn)
            with anyio.CancelScope(deadline=times.tidying):
                if scope.cancelled_caught:
                    log.warning("message.out_of_time", started=work.started)
                    why = f"the function's time ended at the last of {message.receive_count} receives"
                    decided = await self._jobs.unfinished(message, why)
                settled = await self._settled(work, decided)
        except Exception:  # a bug in one job must not cancel the others: it is logged whole
            log.exception("message.bug")
            settled = Release(_BUG_DELAY_S)
        finally:
            turn.end(removed=isinstance(settled, Delete))
        return settled

    async def _decided(self, work: Work, turn: Turn) -> Delete | Release | Bury:
        if not await turn.comes():
            return await self._jobs.passed_over(work.message)
        async with self._places:
            return await self._jobs.attempt(work)

    async def _settled(self, work: Work, decided: Delete | Release | Bury) -> Delete | Release:
        """See to all that a disposition takes but for the message itself, which Lambda deletes or leaves."""
        if isinstance(decided, Release):
            with anyio.move_on_after(_TIDY_S):
                await self._jobs.cut_off(work)
        if isinstance(decided, Bury):
            return await bury(self._burial, work.message, decided, random=self._random)
        return decided

    async def _release(self, changes: Sequence[VisibilityChange]) -> None:
        async with anyio.create_task_group() as calls:
            for start in range(0, len(changes), MAX_BATCH):
                calls.start_soon(self._release_batch, changes[start : start + MAX_BATCH])

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

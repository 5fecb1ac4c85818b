"""The dead-letter sweep: what the queue itself moved gets its failed manifest and its note.

SQS moves a message silently when every receive that the redrive policy allows was cut short: by the death of a
replica each time, which no code of the replica sees.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import Bury, Delete
from thumbq.errors import BackendError, BackendUnavailable, NotSent
from thumbq.jobs.deadletterwalk import walking
from thumbq.jobs.reporting import report_request
from thumbq.ports import EntryResult, ReceivedMessage

if TYPE_CHECKING:
    from random import Random

    from thumbq.jobs.burial import Burial
    from thumbq.jobs.handler import MessageHandler
    from thumbq.ports import Backend, DeadLetter
    from thumbq.worker.receiver import Receiver

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BURIAL_S: Final = 2.0
_REMOVALS_S: Final = (0.0, 0.1, 0.4)
"""The pauses before the tries to remove a dead letter."""

_MAX_LOOKED_AT: Final = 1000
_LOOKED_AT_PER_PERIOD: Final = 100
_EVERY_S: Final = 300.0
_AT_LEAST_EVERY_S: Final = 3600.0


class DeadLetterSweep:
    """Looks through the dead letters: at the start and every few minutes while there is work, else once an hour.

    One look goes through 1,000 dead letters at most, and the more there were, the longer the wait for the next one.
    Only what the queue itself moved is touched. ``settle_s`` seconds after a receive the message is back, or moved.
    Who looks holds ``walking``.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        handler: MessageHandler,
        burial: Burial,
        receiver: Receiver,
        max_receive_count: int | None,
        settle_s: float,
        walking: anyio.Lock,
        random: Random,
    ) -> None:
        assert backend.dead_letters is not None
        self._queue = backend.queue
        self._dead_letters = backend.dead_letters
        self._handler = handler
        self._burial = burial
        self._receiver = receiver
        self._receives = max_receive_count or 0
        self._settle_s = settle_s
        self._walking = walking
        self._random = random
        self._stopped = anyio.CancelScope()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.cancel()

    async def run(self) -> None:
        """Look now and then until stopped."""
        with self._stopped:
            await self._run()

    async def _run(self) -> None:
        looked = await self._look()
        if await self._in_flight():
            # Perhaps to a replica that died: what comes back from it has come back by then.
            await anyio.sleep(self._settle_s)
            looked = await self._look()
        looked_at = anyio.current_time()
        while True:
            await anyio.sleep(_EVERY_S * (0.5 + self._random.random()) * (1 + looked // _LOOKED_AT_PER_PERIOD))
            now = anyio.current_time()
            if self._receiver.last_message_at + self._settle_s > looked_at or now - looked_at > _AT_LEAST_EVERY_S:
                looked_at = now
                looked = await self._look()

    async def _in_flight(self) -> bool:
        try:
            return (await self._queue.counts()).in_flight > 0
        except BackendError as error:
            report_request("sweep.failed", error)
            return True

    async def _look(self) -> int:
        """Go through the dead letters once, and give back those that are none of ours to record. Return how many."""
        async with self._walking:
            return await self._walk()

    async def _walk(self) -> int:
        async with walking(self._dead_letters, at_most=_MAX_LOOKED_AT) as walk:
            try:
                async for found in walk.pages():
                    for dead_letter in found:
                        if dead_letter.moved:
                            await self._record(dead_letter)
                        else:
                            walk.held.append(dead_letter.receipt)
            except BackendError as error:
                report_request("sweep.failed", error)
        return walk.looked

    async def _record(self, dead_letter: DeadLetter) -> None:
        # Its own receive count goes on with every look at it.
        message = ReceivedMessage(
            dead_letter.id,
            dead_letter.receipt,
            dead_letter.body,
            self._receives,
            dead_letter.sent_at,
            group=dead_letter.group,
            sender=dead_letter.sender,
        )
        with structlog.contextvars.bound_contextvars(message_id=dead_letter.id):
            try:
                await self._settle(message, await self._handler.moved(message))
            except (BackendUnavailable, NotSent):
                raise
            except BackendError as error:
                log.warning("sweep.dead_letter_failed", error=str(error))
            except Exception:  # a bug over one dead letter must not end the replica: it is logged whole
                log.exception("sweep.bug")

    async def _settle(self, message: ReceivedMessage, disposition: Delete | Bury) -> None:
        """Send the message to the dead letters once more with its note, and remove the one without."""
        # Cut off between the two, it would be there twice.
        with anyio.move_on_after(_BURIAL_S, shield=True):
            if isinstance(disposition, Bury):
                await self._burial.copy(message, disposition)
            await self._remove(message.receipt)

    async def _remove(self, receipt: str) -> None:
        for pause_s in _REMOVALS_S:
            await anyio.sleep(pause_s)
            with suppress(BackendError):
                [result] = await self._dead_letters.delete([receipt])
                if result is not EntryResult.RETRY:
                    return
        log.warning("sweep.not_removed")

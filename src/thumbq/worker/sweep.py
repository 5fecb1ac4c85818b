"""The sweep: dead letters that the queue itself moved get their failed manifest and their note.

SQS moves a message without a word when every receive that the redrive policy allows was cut short: by the death of a
replica each time, which no code of the replica sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import Bury, Delete
from thumbq.errors import BackendError, BackendUnavailable
from thumbq.ports import ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from thumbq.ports import DeadLetter, DeadLetters, QueueFacts
    from thumbq.settings import Settings
    from thumbq.worker.disposition import Burial
    from thumbq.worker.job import JobRunner

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BATCH: Final = 10
_WAIT_S: Final = 1
_HIDE_S: Final = 60
_BURIAL_S: Final = 2.0
_MAX_LETTERS: Final = 1000
_EVERY_S: Final = 300.0


class Sweeper:
    """Looks through the dead letters: at the start, when the leases of a dead predecessor have run out, then in turns.

    A replica that has received nothing since its last look does not look again: an idle one makes no requests but its
    long poll. One look goes through 1,000 letters at most.
    """

    def __init__(
        self,
        *,
        dead_letters: DeadLetters,
        jobs: JobRunner,
        burial: Burial,
        facts: QueueFacts,
        settings: Settings,
        random: Random,
        received: Callable[[], int],
    ) -> None:
        self._dead_letters = dead_letters
        self._jobs = jobs
        self._burial = burial
        self._receives = facts.max_receive_count or 0
        self._settle_s = settings.visibility_timeout_s + 2 * settings.wait_time_s
        self._random = random
        self._received = received

    async def run(self) -> None:
        """Look now and then until cancelled."""
        await self._look()
        await anyio.sleep(self._settle_s)
        await self._look()
        seen = self._received()
        while True:
            await anyio.sleep(_EVERY_S * (0.5 + self._random.random()))
            if self._received() != seen:
                seen = self._received()
                await self._look()

    async def _look(self) -> None:
        """Go through the dead letters once; what stays hidden meanwhile comes back after a minute."""
        looked = 0
        try:
            while looked < _MAX_LETTERS:
                letters = await self._dead_letters.receive(
                    max_messages=_BATCH, wait_s=_WAIT_S, visibility_timeout_s=_HIDE_S
                )
                if not letters:
                    return
                looked += len(letters)
                for letter in letters:
                    if letter.note is None:
                        await self._record(letter)
        except BackendUnavailable as error:
            log.warning("sweep.failed", error=str(error))

    async def _record(self, letter: DeadLetter) -> None:
        # The letter's own count goes on with every look at it.
        message = ReceivedMessage(letter.id, letter.receipt, letter.body, self._receives, letter.sent_at)
        with structlog.contextvars.bound_contextvars(message_id=letter.id):
            try:
                await self._settle(message, await self._jobs.moved(message))
            except BackendUnavailable:
                raise
            except BackendError as error:
                log.warning("sweep.letter_failed", error=str(error))

    async def _settle(self, letter: ReceivedMessage, disposition: Delete | Bury) -> None:
        """Put the letter there once more with its note, and remove the one without."""
        # Cut off between the two, it would be there twice.
        with anyio.move_on_after(_BURIAL_S, shield=True):
            if isinstance(disposition, Bury):
                log.error("job.failed", code=disposition.code, error=disposition.text)
                await self._burial.copy(letter, disposition)
            await self._dead_letters.delete([letter.receipt])

"""Burial: a failed message is copied to the dead letters with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from thumbq.core import deadletter, retry
from thumbq.core.deadletter import Note
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import BackendError
from thumbq.jobs import fencing

if TYPE_CHECKING:
    from random import Random

    from thumbq.jobs.manifestwriter import ManifestWriter
    from thumbq.ports import DeadLetters, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Burial:
    """Copies failed messages to the dead letters, with their reasons."""

    def __init__(self, dead_letters: DeadLetters, outcomes: ManifestWriter) -> None:
        self.dead_letters = dead_letters
        self._outcomes = outcomes

    async def copy(self, message: ReceivedMessage, bury: Bury) -> None:
        """Send the copy. A body that leaves no room for its note is kept whole in the store first, and cut."""
        body, note = message.body, Note(bury.code, bury.text, message.id, message.receive_count, message.trace)
        if not deadletter.fits(body, note, self.dead_letters.max_bytes):
            await self._outcomes.keep_message(message, bury)
            body, note = deadletter.cut(body, note, self.dead_letters.max_bytes)
        fencing.check()
        await self.dead_letters.send(body, note.encode(), group=message.group)


async def bury(
    burial: Burial | None, message: ReceivedMessage, disposition: Bury, *, random: Random
) -> Delete | Release:
    """Copy a message to the dead letters, and say what is left to do with the message itself.

    The failed manifest is the record where there are no dead letters (``burial`` is None).
    """
    try:
        if burial is not None:
            await burial.copy(message, disposition)
    except BackendError as error:
        log.warning("bury.failed", error=str(error))
        return Release(retry.backoff_s(message.receive_count, random.random()))
    log.info("message.buried", code=disposition.code, dead_letter=burial is not None)
    return Delete()

"""Burial: a failed message is copied to the dead letters with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import deadletter, retry
from thumbq.core.deadletter import Note
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import BackendError
from thumbq.jobs import fencing
from thumbq.jobs.reporting import report_buried, report_request
from thumbq.ports.tracing import copying, trace_to_send

if TYPE_CHECKING:
    from random import Random

    from thumbq.jobs.manifestwriter import ManifestWriter
    from thumbq.ports import DeadLetters, ReceivedMessage


class Burial:
    """Copies failed messages of one queue to its dead letters; without any, the failed manifest is the record."""

    def __init__(self, dead_letters: DeadLetters | None, manifests: ManifestWriter, *, random: Random) -> None:
        self._dead_letters = dead_letters
        self._manifests = manifests
        self._random = random

    async def bury(self, message: ReceivedMessage, bury: Bury) -> Delete | Release:
        """Copy a message, and return what is left to do with the message itself."""
        try:
            await self.copy(message, bury)
        except BackendError as error:
            report_request("bury.failed", error)
            return Release(retry.backoff_s(message.receive_count, self._random.random()))
        return Delete()

    async def copy(self, message: ReceivedMessage, bury: Bury) -> None:
        """Send the copy, where there are dead letters. Raises BackendError."""
        if self._dead_letters is not None:
            with copying(message.sender):
                await self._send(message, bury, self._dead_letters)
        report_buried(bury, dead_letter=self._dead_letters is not None)

    async def _send(self, message: ReceivedMessage, bury: Bury, dead_letters: DeadLetters) -> None:
        """Send the copy. A body that leaves no room for its note and trace is kept whole in the store, and cut."""
        trace = trace_to_send()
        max_bytes = dead_letters.max_bytes - (0 if trace is None else trace.size)
        body, note = message.body, Note(bury.code, bury.text, message.id, message.receive_count, message.trace)
        if not deadletter.fits(body, note, max_bytes):
            await self._manifests.keep_message(message, bury)
            body, note = deadletter.cut(body, note, max_bytes)
        fencing.check()
        await dead_letters.send(body, note.encode(), group=message.group)

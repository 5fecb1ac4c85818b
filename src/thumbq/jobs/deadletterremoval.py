"""The removal of dead letters: a job that was deleted leaves none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import callbackmessage, deadletter, keys, message
from thumbq.core.job import ObjectRef
from thumbq.errors import MalformedMessage
from thumbq.jobs.deadletterwalk import walking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.ports import DeadLetter, DeadLetters, JobQueue, ObjectStore

MOST_LOOKED_AT: Final = 10_000
"""SQS has no search: a walk receives each dead letter, ten in a request."""


def of_jobs(body: str, bucket: str) -> Sequence[ObjectRef]:
    """Return the originals of a message's jobs. Raises MalformedMessage."""
    return [job.source for job in message.parse(body, default_bucket=bucket).jobs]


def of_callback(body: str, _: str) -> Sequence[ObjectRef]:
    """Return the original that a callback is about. Raises MalformedMessage."""
    return [callbackmessage.decode(body).original]


class DeadLetterRemoval:
    """Removes dead letters from one queue. One walk serves all jobs that are deleted before it begins.

    ``originals`` says which ones a dead letter's body is about: ``of_jobs``, or ``of_callback`` for those of callbacks.
    Who else of this replica goes through the dead letters holds ``walking``: what one has received, another does not
    see.
    """

    def __init__(
        self,
        queue: JobQueue,
        dead_letters: DeadLetters,
        store: ObjectStore,
        bucket: str,
        *,
        originals: Callable[[str, str], Sequence[ObjectRef]],
    ) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._store = store
        self._bucket = bucket
        self._originals = originals
        self.walking = anyio.Lock()
        self._wanted: set[str] = set()
        self._saw_all = True

    async def remove(self, source_key: str) -> bool:
        """Remove the dead letters that are about this original and about no other that stays. Raises BackendError.

        Return whether all were seen: somebody else may be looking at some, and there may be too many.
        """
        self._wanted.add(source_key)
        async with self.walking:
            if source_key in self._wanted:
                wanted = frozenset(self._wanted)
                seen = await self._walk(wanted)
                self._saw_all = seen >= MOST_LOOKED_AT or seen >= (await self._queue.counts()).dead
                self._wanted -= wanted
            return self._saw_all

    async def _walk(self, wanted: frozenset[str]) -> int:
        """Go through the dead letters, and return how many have stayed."""
        async with walking(self._dead_letters, at_most=MOST_LOOKED_AT) as walk:
            async for found in walk.pages():
                meant = [dead_letter for dead_letter in found if self._is_about(dead_letter, wanted)]
                walk.held += [dead_letter.receipt for dead_letter in found if dead_letter not in meant]
                await self._remove(meant)
        return len(walk.held)

    def _is_about(self, dead_letter: DeadLetter, wanted: frozenset[str]) -> bool:
        try:
            originals = self._originals(dead_letter.body, self._bucket)
        except MalformedMessage:
            return False
        return bool(originals) and all(each.bucket == self._bucket and each.key in wanted for each in originals)

    async def _remove(self, meant: Sequence[DeadLetter]) -> None:
        if not meant:
            return
        await self._dead_letters.delete([dead_letter.receipt for dead_letter in meant])
        for dead_letter in meant:
            if (note := deadletter.decode(dead_letter.note)) is not None:
                await self._store.delete(ObjectRef(self._bucket, keys.failed_message_key(note.message_id)))

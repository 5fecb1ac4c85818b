"""The removal of dead letters: a job that was deleted leaves none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import callbackmessage, deadletter, keys, message
from thumbq.core.job import ObjectRef
from thumbq.errors import MalformedMessage
from thumbq.jobs.deadletterwalk import walking
from thumbq.ports import EntryResult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from thumbq.ports import DeadLetter, DeadLetters, JobQueue, ObjectStore

MOST_LOOKED_AT: Final = 10_000
"""SQS has no search: a walk receives each dead letter, ten in a request."""


@dataclass(frozen=True, slots=True)
class About:
    """Which originals a dead letter is about; or it is of a ``deletion``, which was not brought to its end."""

    originals: Sequence[ObjectRef]
    deletion: bool = False


def of_jobs(body: str, bucket: str) -> About:
    """Return what a message of jobs is about. Raises MalformedMessage."""
    jobs = message.parse(body, default_bucket=bucket).jobs
    return About([job.source for job in jobs], deletion=any(job.deletion for job in jobs))


def of_callback(body: str, _: str) -> About:
    """Return what a callback is about. Raises MalformedMessage."""
    return About([callbackmessage.decode(body).original])


class DeadLetterRemoval:
    """Removes dead letters from one queue. One walk serves all jobs that are deleted before it begins.

    ``about`` says what a dead letter's body is about: ``of_jobs``, or ``of_callback`` for those of callbacks.
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
        about: Callable[[str, str], About],
    ) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._store = store
        self._bucket = bucket
        self._about = about
        self.walking = anyio.Lock()
        self._wanted: dict[str, bool] = {}  # whether the deletion has ended but for dead letters
        self._saw_all = True

    async def remove(self, source_key: str, *, ended: bool) -> bool:
        """Remove the dead letters that are about this original and about no other that stays. Raises BackendError.

        Those of deletions that were not brought to an end stay until another one has ``ended``: they alone say so.
        Return whether all were seen: somebody else may be looking at some, and there may be too many.
        """
        self._wanted[source_key] = self._wanted.get(source_key, False) or ended
        async with self.walking:
            if source_key in self._wanted:
                wanted = dict(self._wanted)
                seen = await self._walk(wanted)
                self._saw_all = seen >= MOST_LOOKED_AT or seen >= (await self._queue.counts()).dead
                self._wanted = {key: ended for key, ended in self._wanted.items() if wanted.get(key) != ended}
            return self._saw_all

    async def _walk(self, wanted: Mapping[str, bool]) -> int:
        """Go through the dead letters, and return how many there are that may stay."""
        left = 0
        async with walking(self._dead_letters, at_most=MOST_LOOKED_AT) as walk:
            async for found in walk.pages():
                meant = [dead_letter for dead_letter in found if self._is_about(dead_letter, wanted)]
                receipts = [dead_letter.receipt for dead_letter in found]
                walk.held += receipts  # until they are removed: what fails on the way is given back, too
                removed = await self._remove(meant)
                walk.held[-len(receipts) :] = [receipt for receipt in receipts if receipt not in removed]
                left += len(meant) - len(removed)
        return len(walk.held) - left

    def _is_about(self, dead_letter: DeadLetter, wanted: Mapping[str, bool]) -> bool:
        try:
            about = self._about(dead_letter.body, self._bucket)
        except MalformedMessage:
            return False
        found = [wanted.get(each.key) if each.bucket == self._bucket else None for each in about.originals]
        return bool(found) and all(ended is not None and ended >= about.deletion for ended in found)

    async def _remove(self, meant: Sequence[DeadLetter]) -> Collection[str]:
        """Remove dead letters, and return the receipts of those that the queue has removed.

        What the store has of their messages goes first: afterwards nothing would name it.
        """
        for dead_letter in meant:
            note = deadletter.decode(dead_letter.note)
            message_id = dead_letter.id if note is None else note.message_id
            jobs = len(self._about(dead_letter.body, self._bucket).originals)
            crashed = [keys.crash_record_key(message_id, number) for number in range(1, jobs + 1)]
            for key in (*crashed, keys.failed_message_key(message_id)):
                await self._store.delete(ObjectRef(self._bucket, key))
        receipts = [dead_letter.receipt for dead_letter in meant]
        results = await self._dead_letters.delete(receipts) if receipts else []
        return {receipt for receipt, one in zip(receipts, results, strict=True) if one is EntryResult.OK}

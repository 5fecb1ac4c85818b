"""What `thumbq dlq list`, `show` and `purge` do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from thumbq.backends import open_backend
from thumbq.commands.holding import HOLD_S, MOST, ROUND, dead_letters_of, holding
from thumbq.core import deadletter, keys, message
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, MalformedMessage, ObjectMissing, ObjectTooLarge
from thumbq.settings import default_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thumbq.commands.holding import Holder
    from thumbq.core.deadletter import Note
    from thumbq.core.job import JobRequest
    from thumbq.ports import Backend, DeadLetter, ObjectStore
    from thumbq.settings import Settings


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and what can be read from it; ``note`` is None when the queue itself moved the message."""

    letter: DeadLetter
    note: Note | None
    jobs: tuple[JobRequest, ...]
    body: str
    """As it was received, or whole where that was asked for."""

    def is_named(self, names: Iterable[str]) -> bool:
        """Whether one of these is its id, or the id of the message that was buried."""
        return any(name in {self.letter.id, self.note and self.note.message_id} for name in names)


class Incomplete(BackendError):
    """A body that was cut when it was buried is not in the store either."""


def read(letter: DeadLetter, bucket: str) -> Letter:
    """Read a letter's note and its body; ``bucket`` is where bare keys are."""
    try:
        jobs = message.parse(letter.body, default_bucket=bucket).jobs
    except MalformedMessage:
        jobs = ()
    return Letter(letter, deadletter.decode(letter.note), jobs, letter.body)


async def whole_body(store: ObjectStore, bucket: str, letter: Letter) -> str:
    """Return the body as it was sent: what a dead letter cannot hold is in the store. Raises Incomplete."""
    if letter.note is None or letter.note.body_bytes is None:
        return letter.body
    ref = ObjectRef(bucket, keys.failed_message_key(letter.note.message_id))
    try:
        _, raw = await store.get(ref, max_bytes=FailedMessage.MAX_BYTES)
    except (ObjectMissing, ObjectTooLarge) as error:
        raise Incomplete(f"its body of {letter.note.body_bytes} bytes was cut, and {ref} is not there") from error
    record = FailedMessage.decode(raw)
    if record is None:
        raise Incomplete(f"its body of {letter.note.body_bytes} bytes was cut, and {ref} cannot be read")
    return record.body


class Look:
    """Goes through the dead letters, each once, as far as they can be told apart."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._seen: set[str] = set()
        self._news_at = anyio.current_time()

    @property
    def seen(self) -> int:
        """How many letters have come by."""
        return len(self._seen)

    async def next(self, limit: int = ROUND) -> list[DeadLetter]:
        """Return up to ``limit`` letters that were not there before; none at the end.

        A listing that takes more than a minute meets again what it saw at first: the end is also when a minute
        has brought nothing new, or MOST letters were seen.
        """
        while self.seen < MOST:
            taken = await self._holder.receive(min(limit, MOST - self.seen))
            new = {letter.id: letter for letter in taken if letter.id not in self._seen}
            self._seen.update(new)
            now = anyio.current_time()
            if new:
                self._news_at = now
            if new or not taken or now - self._news_at > HOLD_S:
                return list(new.values())
        return []


@dataclass(frozen=True, slots=True)
class Listed:
    """How a listing ended: how many letters it showed, and about how many others are there.

    ``others`` are hidden by another reader, or the queue's count is behind. It is None when the listing did not
    come to the end.
    """

    shown: int
    others: int | None


async def show_all(settings: Settings, *, limit: int, report: Callable[[Letter], bool]) -> Listed:
    """Report up to ``limit`` dead letters, one by one; the listing ends early when ``report`` returns False."""
    async with open_backend(settings, existing=True) as backend:
        letters = dead_letters_of(backend, str(default_queue(settings).queue))
        shown = 0
        async with holding(letters) as holder:
            look = Look(holder)
            while new := await look.next(min(ROUND, limit - shown)):
                for letter in new:
                    shown += 1
                    if not report(read(letter, backend.bucket)) or shown == limit:
                        return Listed(shown, None)
        return Listed(shown, None if look.seen == MOST else await others(backend, look.seen))


async def others(backend: Backend, seen: int) -> int:
    """Return about how many dead letters there are beside those that were seen."""
    return max((await backend.queue.counts()).dead - seen, 0)


async def show(
    settings: Settings, names: Iterable[str], *, report: Callable[[Letter, BackendError | None], None]
) -> set[str]:
    """Report the letters with these ids (theirs, or those of the messages that were buried), with whole bodies.

    Where the whole body cannot be had, ``report`` gets the error and the letter with what there is. Returns the ids
    that were not found.
    """
    missing = set(names)
    async with (
        open_backend(settings, existing=True) as backend,
        holding(dead_letters_of(backend, str(default_queue(settings).queue))) as holder,
    ):
        look = Look(holder)
        while missing and (new := await look.next()):
            for found in (read(letter, backend.bucket) for letter in new):
                if not found.is_named(missing):
                    continue
                missing -= {name for name in missing if found.is_named([name])}
                try:
                    body = await whole_body(backend.store, backend.bucket, found)
                except BackendError as error:
                    report(found, error)
                else:
                    report(Letter(found.letter, found.note, found.jobs, body), None)
    return missing


async def count(settings: Settings) -> int:
    """Return how many dead letters there are (on SQS: about how many), hidden ones included."""
    async with open_backend(settings, existing=True) as backend:
        dead_letters_of(backend, str(default_queue(settings).queue))
        return (await backend.queue.counts()).dead


async def purge(settings: Settings) -> None:
    """Remove all dead letters, hidden ones included."""
    async with open_backend(settings, existing=True) as backend:
        await dead_letters_of(backend, str(default_queue(settings).queue)).purge()

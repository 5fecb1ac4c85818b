"""What `thumbq dlq redrive` does: dead letters become messages of the queue again."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.backends import open_backend
from thumbq.commands.deadletters import Look, others, read, whole_body
from thumbq.commands.holding import END_S, MOST, ROUND, dead_letters_of, holding
from thumbq.commands.pace import Pace
from thumbq.core import deadletter, keys, message
from thumbq.errors import AccessDenied, BackendError, BackendUnavailable
from thumbq.ports import MAX_BATCH
from thumbq.settings import default_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from thumbq.commands.holding import Holder
    from thumbq.ports import Backend, DeadLetter, DeadLetters, MoveProgress
    from thumbq.settings import Settings

MOST_FAILURES: Final = 1000
"""So many letters may fail before the redrive stops; they are remembered, so as not to be tried twice."""

_LAST_MOMENTS_S: Final = 20
_OUTAGE: Final = 10
_LOOK_EVERY_S: Final = 1
_NOTE_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one letter: the id of its new message, or why there is none, or why it may be redriven twice."""

    letter_id: str
    message_id: str | None = None
    error: str | None = None


class Redrive:
    """Sends letters to the queue and removes them: in this order, so that none can be lost."""

    def __init__(
        self, backend: Backend, holder: Holder, *, rate: int | None, report: Callable[[Redriven], None]
    ) -> None:
        self._backend = backend
        self._holder = holder
        self._rate = rate
        self._pace = Pace(rate)
        self._report = report
        self._not_again: set[str] = set()
        self._sent: deque[str] = deque(maxlen=MOST)
        self._sent_ids: set[str] = set()
        self._unanswered = 0
        self._stopped_by: BackendError | None = None
        self.left = 0
        """How many letters are still there though they were tried, or may be."""

    async def all(self) -> None:
        """Redrive everything that is visible, in rounds of up to eighty letters.

        Raises BackendError when going on makes no sense: access is denied, the queue is away, or too much fails.
        """
        # A round must be sent well within its hold.
        most = min(ROUND, MAX_BATCH * math.ceil(self._rate / MAX_BATCH)) if self._rate else ROUND
        while self._stopped_by is None and (letters := await self._holder.receive(most)):
            await self._redrive([letter for letter in letters if self._is_new(letter)])
        if self._stopped_by is not None:
            raise self._stopped_by

    def _is_new(self, letter: DeadLetter) -> bool:
        """Whether to redrive a letter. What was sent from here and failed again would come back for ever."""
        if letter.id in self._not_again:
            return False
        note = deadletter.decode(letter.note)
        if (note.message_id if note else letter.id) not in self._sent_ids:
            return True
        self.left += 1
        self._not_again.add(letter.id)
        self._report(Redriven(letter.id, None, "the job that was redriven has failed again"))
        return False

    def _remember(self, message_id: str) -> None:
        if len(self._sent) == MOST:
            self._sent_ids.discard(self._sent[0])
        self._sent.append(message_id)
        self._sent_ids.add(message_id)

    async def these(self, letters: Sequence[DeadLetter]) -> None:
        """Redrive letters that are held. Raises BackendError as ``all`` does."""
        for letter in await self._redrive(letters):
            self._failed(letter, None, "not tried: the time to do it in ran out")
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _redrive(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Redrive letters and return those that were not tried, as their hold is nearly over; they come again.

        What a FIFO queue has in one group goes one after the other, in the order in which it was received.
        """
        sent: list[tuple[DeadLetter, str]] = []
        untried: list[DeadLetter] = []

        async def one(letter: DeadLetter) -> None:
            await self._pace.wait()
            if self._stopped_by is not None or not self._holder.holds(letter, for_s=_LAST_MOMENTS_S):
                untried.append(letter)
                return
            with anyio.CancelScope(shield=True):
                message_id = await self._send(letter)
                if message_id is not None:
                    sent.append((letter, message_id))

        async def in_order(line: Sequence[DeadLetter]) -> None:
            for letter in line:
                await one(letter)

        try:
            async with anyio.create_task_group() as tasks:
                for line in self._lines(letters):
                    tasks.start_soon(in_order, line)
        finally:
            with anyio.CancelScope(shield=True):
                await self._remove(sent)
        return untried

    def _lines(self, letters: Sequence[DeadLetter]) -> Iterable[Sequence[DeadLetter]]:
        if not self._backend.fifo:
            return [[letter] for letter in letters]
        lines: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            lines.setdefault(letter.group or letter.id, []).append(letter)
        return lines.values()

    def _group(self, letter: DeadLetter) -> str | None:
        """Return the group that a letter was sent with; without one it is a group of its own, where it needs one."""
        return message.group_id(letter.id) if letter.group is None and self._backend.fifo else letter.group

    async def _send(self, letter: DeadLetter) -> str | None:
        try:
            body = await whole_body(self._backend.store, self._backend.bucket, read(letter, self._backend.bucket))
            message_id = await self._backend.queue.send(body, group=self._group(letter))
        except BackendError as error:
            self._failed(letter, None, str(error))
            self._unanswered += isinstance(error, BackendUnavailable)
            if isinstance(error, AccessDenied) or self._unanswered >= _OUTAGE:
                self._stopped_by = error
            return None
        self._unanswered = 0
        self._remember(message_id)
        return message_id

    async def _remove(self, sent: Sequence[tuple[DeadLetter, str]]) -> None:
        async def some(batch: Sequence[tuple[DeadLetter, str]]) -> None:
            doubtful = {letter.id for letter, _ in batch}
            with anyio.move_on_after(END_S):
                doubtful = {letter.id for letter in await self._holder.remove([letter for letter, _ in batch])}
            for letter, message_id in batch:
                if letter.id in doubtful:
                    self._failed(letter, message_id, "sent, but not removed: it may be redriven once more")
                else:
                    self._report(Redriven(letter.id, message_id))

        async with anyio.create_task_group() as tasks:
            for start in range(0, len(sent), MAX_BATCH):
                tasks.start_soon(some, sent[start : start + MAX_BATCH])

    def _failed(self, letter: DeadLetter, message_id: str | None, error: str) -> None:
        self.left += 1
        self._not_again.add(letter.id)
        if len(self._not_again) >= MOST_FAILURES:
            self._stopped_by = BackendError(f"{MOST_FAILURES} letters could not be redriven")
        self._report(Redriven(letter.id, message_id, error))


async def redrive_all(
    settings: Settings,
    *,
    rate: int | None,
    report: Callable[[Redriven], None],
    moving: Callable[[MoveProgress], None],
) -> int:
    """Redrive all letters, and return about how many are there that were not tried.

    A server that moves letters itself is asked to; ``moving`` gets its progress, and a cancelled call leaves the
    move running. Everything else is sent and removed from here, letter by letter.
    """
    async with open_backend(settings, existing=True) as backend:
        letters = dead_letters_of(backend, str(default_queue(settings).queue))
        if not await _some_body_was_cut(backend, letters) and await _move(letters, rate, moving):
            return 0
        async with holding(letters) as holder:
            redrive = Redrive(backend, holder, rate=rate, report=report)
            await redrive.all()
        return await others(backend, redrive.left)


async def _move(letters: DeadLetters, rate: int | None, moving: Callable[[MoveProgress], None]) -> bool:
    """Have the server move all letters. Returns False when it does not do that."""
    with anyio.CancelScope(shield=True):
        handle = await letters.start_move(rate=rate)
    if handle is None:
        return False
    while True:
        progress = await letters.move_progress(handle)
        moving(progress)
        if progress.ended:
            return True
        await anyio.sleep(_LOOK_EVERY_S)


async def _some_body_was_cut(backend: Backend, letters: DeadLetters) -> bool:
    """Whether a letter may hold only a part of its body: a move by the server would make a broken job of it.

    A body that was cut is in the store, in a record nearly as large as a message can be, or larger.
    """
    after = ""
    while page := await backend.store.list(backend.bucket, prefix=keys.FAILED_MESSAGES_PREFIX, after=after):
        if any(record.size > letters.max_bytes - _NOTE_BYTES for record in page):
            return True
        after = page[-1].key
    return False


async def redrive_some(
    settings: Settings, names: Iterable[str], *, rate: int | None, report: Callable[[Redriven], None]
) -> set[str]:
    """Redrive the letters with these ids (theirs, or those of the messages that were buried).

    Returns the ids that were not found.
    """
    missing = set(names)
    async with (
        open_backend(settings, existing=True) as backend,
        holding(dead_letters_of(backend, str(default_queue(settings).queue))) as holder,
    ):
        look, redrive = Look(holder), Redrive(backend, holder, rate=rate, report=report)
        while missing and (new := await look.next()):
            found = [letter for letter in new if read(letter, backend.bucket).is_named(missing)]
            missing -= {name for name in missing for letter in found if read(letter, backend.bucket).is_named([name])}
            await redrive.these(found)
    return missing

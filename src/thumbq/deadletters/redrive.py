"""Redrive: dead letters become messages of the queue again."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import deadletter, message
from thumbq.deadletters.leases import END_S, ROUND, leasing
from thumbq.deadletters.limits import MOST_REMEMBERED
from thumbq.deadletters.move import has_cut_bodies, move_all
from thumbq.deadletters.parsing import parse, whole_body
from thumbq.deadletters.ratelimiter import RateLimiter
from thumbq.deadletters.scan import Scan
from thumbq.deadletters.show import others
from thumbq.errors import AccessDenied, BackendError, BackendUnavailable, NotSent
from thumbq.ports import MAX_BATCH, batches
from thumbq.ports.tracing import copying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from thumbq.deadletters.leases import DeadLetterLeases
    from thumbq.ports import Backend, DeadLetter, DeadLetters, MoveProgress

MOST_FAILURES: Final = 1000
"""The redrive stops after so many failures; failed dead letters are remembered, so as not to be tried twice."""

_LEAST_LEASE_S: Final = 20
"""The least that a lease must last yet for its dead letter to be sent."""

_OUTAGE: Final = 10


@dataclass(frozen=True, slots=True)
class Redriven:
    """The result of one dead letter: the id of its new message; an error where it stays, or may be redriven twice."""

    dead_letter_id: str
    message_id: str | None = None
    error: str | None = None


class Redrive:
    """Sends dead letters to the queue and then removes them, in this order, so that none can be lost."""

    def __init__(
        self, backend: Backend, leases: DeadLetterLeases, *, rate: int | None, report: Callable[[Redriven], None]
    ) -> None:
        self._backend = backend
        self._leases = leases
        self._rate = rate
        self._limiter = RateLimiter(rate)
        self._report = report
        self._not_again: set[str] = set()
        self._sent: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._sent_ids: set[str] = set()
        self._unanswered = 0
        self._stopped_by: BackendError | None = None
        self.left = 0
        """How many dead letters were tried and are still there, or may be."""

    async def all(self) -> None:
        """Redrive all visible dead letters, in rounds of up to eighty.

        Raises BackendError when access is denied, the queue does not answer, or too many fail.
        """
        # A round must be sent well within its leases.
        most = min(ROUND, MAX_BATCH * math.ceil(self._rate / MAX_BATCH)) if self._rate else ROUND
        while self._stopped_by is None and (dead_letters := await self._leases.receive(most)):
            await self._redrive([dead_letter for dead_letter in dead_letters if self._is_new(dead_letter)])
        if self._stopped_by is not None:
            raise self._stopped_by

    def _is_new(self, dead_letter: DeadLetter) -> bool:
        """Whether to redrive a dead letter. A message that was sent from here and failed again would come for ever."""
        if dead_letter.id in self._not_again:
            return False
        note = deadletter.decode(dead_letter.note)
        if (note.message_id if note else dead_letter.id) not in self._sent_ids:
            return True
        self.left += 1
        self._not_again.add(dead_letter.id)
        self._report(Redriven(dead_letter.id, None, "the job that was redriven has failed again"))
        return False

    def _remember(self, message_id: str) -> None:
        if len(self._sent) == MOST_REMEMBERED:
            self._sent_ids.discard(self._sent[0])
        self._sent.append(message_id)
        self._sent_ids.add(message_id)

    async def these(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Redrive leased dead letters. Raises BackendError as ``all`` does."""
        for dead_letter in await self._redrive(dead_letters):
            self._failed(dead_letter, None, "not tried: the time to do it in ran out")
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _redrive(self, dead_letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Redrive dead letters and return those not tried, as their leases are nearly over; they come again.

        The dead letters of one group of a FIFO queue are sent one after the other, in the order of their receive.
        """
        sent: list[tuple[DeadLetter, str]] = []
        untried: list[DeadLetter] = []

        async def one(dead_letter: DeadLetter) -> None:
            await self._limiter.wait()
            if self._stopped_by is not None or not self._leases.lasts(dead_letter, for_s=_LEAST_LEASE_S):
                untried.append(dead_letter)
                return
            with anyio.CancelScope(shield=True):
                message_id = await self._send(dead_letter)
                if message_id is not None:
                    sent.append((dead_letter, message_id))

        async def in_order(group: Sequence[DeadLetter]) -> None:
            for dead_letter in group:
                await one(dead_letter)

        try:
            async with anyio.create_task_group() as tasks:
                for group in self._in_groups(dead_letters):
                    tasks.start_soon(in_order, group)
        finally:
            with anyio.CancelScope(shield=True):
                await self._remove(sent)
        return untried

    def _in_groups(self, dead_letters: Sequence[DeadLetter]) -> Iterable[Sequence[DeadLetter]]:
        if not self._backend.fifo:
            return [[dead_letter] for dead_letter in dead_letters]
        groups: dict[str, list[DeadLetter]] = {}
        for dead_letter in dead_letters:
            groups.setdefault(dead_letter.group or dead_letter.id, []).append(dead_letter)
        return groups.values()

    def _group_of(self, dead_letter: DeadLetter) -> str | None:
        """Return the group that a dead letter was sent with; on a FIFO queue, without one, a group of its own."""
        if dead_letter.group is None and self._backend.fifo:
            return message.group_id(dead_letter.id)
        return dead_letter.group

    async def _send(self, dead_letter: DeadLetter) -> str | None:
        try:
            parsed = parse(dead_letter, self._backend.bucket)
            body = await whole_body(self._backend.store, self._backend.bucket, parsed)
            with copying(dead_letter.sender):
                message_id = await self._backend.queue.send(body, group=self._group_of(dead_letter))
        except BackendError as error:
            self._failed(dead_letter, None, str(error))
            self._unanswered += isinstance(error, BackendUnavailable | NotSent)
            if isinstance(error, AccessDenied) or self._unanswered >= _OUTAGE:
                self._stopped_by = error
            return None
        self._unanswered = 0
        self._remember(message_id)
        return message_id

    async def _remove(self, sent: Sequence[tuple[DeadLetter, str]]) -> None:
        async def some(batch: Sequence[tuple[DeadLetter, str]]) -> None:
            left: Sequence[DeadLetter] = [dead_letter for dead_letter, _ in batch]
            with anyio.move_on_after(END_S):
                left = await self._leases.remove(left)
            doubtful = {dead_letter.id for dead_letter in left}
            for dead_letter, message_id in batch:
                if dead_letter.id in doubtful:
                    self._failed(dead_letter, message_id, "sent, but not removed: it may be redriven once more")
                else:
                    self._report(Redriven(dead_letter.id, message_id))

        async with anyio.create_task_group() as tasks:
            for batch in batches(sent):
                tasks.start_soon(some, batch)

    def _failed(self, dead_letter: DeadLetter, message_id: str | None, error: str) -> None:
        self.left += 1
        self._not_again.add(dead_letter.id)
        if len(self._not_again) >= MOST_FAILURES:
            self._stopped_by = BackendError(f"{MOST_FAILURES} dead letters could not be redriven")
        self._report(Redriven(dead_letter.id, message_id, error))


async def redrive_all(
    backend: Backend,
    dead_letters: DeadLetters,
    *,
    rate: int | None,
    report: Callable[[Redriven], None],
    moving: Callable[[MoveProgress], None],
) -> int:
    """Redrive all dead letters, and return about how many are there that were not tried.

    A server that can move dead letters itself does it; ``moving`` gets its progress, and a cancelled call leaves the
    move running. Everything else is sent and removed from here, one by one.
    """
    if not await has_cut_bodies(backend, dead_letters) and await move_all(dead_letters, rate, moving):
        return 0
    return await redrive_each(backend, dead_letters, rate=rate, report=report)


async def redrive_each(
    backend: Backend, dead_letters: DeadLetters, *, rate: int | None, report: Callable[[Redriven], None]
) -> int:
    """Redrive all visible dead letters from here, and return about how many are there that were not tried."""
    async with leasing(dead_letters) as leases:
        redrive = Redrive(backend, leases, rate=rate, report=report)
        await redrive.all()
    return await others(backend, redrive.left)


async def redrive_some(
    backend: Backend,
    dead_letters: DeadLetters,
    names: Iterable[str],
    *,
    rate: int | None,
    report: Callable[[Redriven], None],
) -> set[str]:
    """Redrive the dead letters with these ids (theirs, or those of the buried messages).

    Returns the ids that were not found.
    """
    missing = set(names)
    async with leasing(dead_letters) as leases:
        scan, redrive = Scan(leases), Redrive(backend, leases, rate=rate, report=report)
        while missing and (new := await scan.next()):
            found = [parsed for each in new if (parsed := parse(each, backend.bucket)).is_named(missing)]
            missing -= {name for name in missing for parsed in found if parsed.is_named([name])}
            await redrive.these([parsed.received for parsed in found])
    return missing

"""Removing the dead letters that are chosen, one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.deadletters.leases import END_S, leasing
from thumbq.deadletters.limits import MOST_REMEMBERED
from thumbq.deadletters.parsing import parse
from thumbq.deadletters.scan import Scan
from thumbq.errors import BackendError
from thumbq.ports import batches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from thumbq.deadletters.leases import DeadLetterLeases
    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.ports import Backend, DeadLetters

NO_CODE: Final = "-"
"""Stands for the code of a dead letter without a reason, as in a listing."""

MOST_FAILURES: Final = 100
"""The purge stops after so many dead letters that could not be removed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant: those that fit everything that is given.

    ``names`` are their ids, or those of the messages that were buried. ``sent_before`` is in POSIX seconds; a dead
    letter whose time nobody knows is not before it.
    """

    names: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    sent_before: float | None = None

    def fits(self, parsed: ParsedDeadLetter) -> bool:
        """Whether code and age are those that are meant."""
        code = parsed.note.code if parsed.note else NO_CODE
        if self.codes and code not in self.codes:
            return False
        sent_at = parsed.received.sent_at
        return self.sent_before is None or (sent_at is not None and sent_at < self.sent_before)


@dataclass(slots=True)
class Looked:
    """The end of a look through the dead letters.

    ``chosen`` has the ids of the dead letters that fit. ``missing`` are names that were not found, ``unfit`` those
    whose dead letters have another code or age. ``seen`` is how many dead letters were looked at, ``others`` about how
    many more there are; None when it ended before the last one.
    """

    chosen: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    unfit: set[str] = field(default_factory=set)
    seen: int = 0
    others: int | None = 0


async def find(
    backend: Backend, dead_letters: DeadLetters, choice: Choice, *, report: Callable[[ParsedDeadLetter], None]
) -> Looked:
    """Report the visible dead letters that are chosen, and change nothing."""

    async def tell(_: DeadLetterLeases, chosen: Sequence[ParsedDeadLetter]) -> None:
        for parsed in chosen:
            report(parsed)

    return await _look(backend, dead_letters, choice, tell)


async def remove(
    backend: Backend,
    dead_letters: DeadLetters,
    choice: Choice,
    *,
    report: Callable[[ParsedDeadLetter, str | None], None],
) -> Looked:
    """Remove the visible dead letters that are chosen, in the order in which they are found.

    ``report`` gets each when it is removed, or with the reason why it may still be there. A cancelled call ends the
    removals that are under way, and gives everything else back. Raises BackendError also when too many fail.
    """
    failed = 0

    async def some(leases: DeadLetterLeases, batch: Sequence[ParsedDeadLetter]) -> None:
        nonlocal failed
        received = [parsed.received for parsed in batch]
        left = list(received)
        with anyio.move_on_after(END_S, shield=True):
            left = list(await leases.remove(received))
        for parsed in batch:
            doubtful = parsed.received in left
            failed += doubtful
            report(parsed, "not removed: the queue did not confirm it" if doubtful else None)

    async def take(leases: DeadLetterLeases, chosen: Sequence[ParsedDeadLetter]) -> None:
        async with anyio.create_task_group() as tasks:
            for batch in batches(chosen):
                tasks.start_soon(some, leases, batch)
        if failed >= MOST_FAILURES:
            raise BackendError(f"{failed} dead letters could not be removed")

    return await _look(backend, dead_letters, choice, take)


async def _look(
    backend: Backend,
    dead_letters: DeadLetters,
    choice: Choice,
    take: Callable[[DeadLetterLeases, Sequence[ParsedDeadLetter]], Awaitable[None]],
) -> Looked:
    """Go through the visible dead letters, and ``take`` those that are chosen; with names, until all are found."""
    looked = Looked(missing=set(choice.names))
    there = (await backend.queue.counts()).dead
    async with leasing(dead_letters) as leases:
        scan = Scan(leases)
        while (looked.missing or not choice.names) and (new := await scan.next()):
            chosen = [parsed for each in new if _is_chosen(parsed := parse(each, backend.bucket), choice, looked)]
            looked.chosen += [parsed.received.id for parsed in chosen]
            await take(leases, chosen)
    looked.seen = scan.seen
    if not choice.names:
        looked.others = None if scan.seen == MOST_REMEMBERED else max(there - scan.seen, 0)
    return looked


def _is_chosen(parsed: ParsedDeadLetter, choice: Choice, looked: Looked) -> bool:
    """Whether a dead letter is meant; each name means the first one that bears it."""
    names = {name for name in looked.missing if parsed.is_named([name])}
    if choice.names and not names:
        return False
    looked.missing -= names
    if choice.fits(parsed):
        return True
    looked.unfit |= names
    return False

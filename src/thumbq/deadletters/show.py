"""Looking at dead letters: all of them, or those with an id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thumbq.deadletters.leases import ROUND, leasing
from thumbq.deadletters.limits import MOST_REMEMBERED
from thumbq.deadletters.parsing import parse, whole_body
from thumbq.deadletters.scan import Scan
from thumbq.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.ports import Backend, DeadLetters


@dataclass(frozen=True, slots=True)
class Listed:
    """The end of a listing: how many dead letters it showed, and about how many others are there.

    ``others`` are hidden by another reader, or the queue's count is behind. It is None when the listing stopped before
    the last dead letter.
    """

    shown: int
    others: int | None


async def show_all(
    backend: Backend, dead_letters: DeadLetters, *, limit: int, report: Callable[[ParsedDeadLetter], bool]
) -> Listed:
    """Report up to ``limit`` dead letters, one by one; the listing ends early when ``report`` returns False."""
    shown = 0
    async with leasing(dead_letters) as leases:
        scan = Scan(leases)
        while new := await scan.next(min(ROUND, limit - shown)):
            for dead_letter in new:
                shown += 1
                if not report(parse(dead_letter, backend.bucket)) or shown == limit:
                    return Listed(shown, None)
    return Listed(shown, None if scan.seen == MOST_REMEMBERED else await others(backend, scan.seen))


async def others(backend: Backend, seen: int) -> int:
    """Return about how many dead letters there are beside those that were seen."""
    return max((await backend.queue.counts()).dead - seen, 0)


async def show(
    backend: Backend,
    dead_letters: DeadLetters,
    names: Iterable[str],
    *,
    report: Callable[[ParsedDeadLetter, BackendError | None], None],
) -> set[str]:
    """Report the dead letters with these ids (theirs, or those of the buried messages), with whole bodies.

    Where the whole body is not to be had, ``report`` gets the error and the dead letter with its cut body. Returns the
    ids that were not found.
    """
    missing = set(names)
    async with leasing(dead_letters) as leases:
        scan = Scan(leases)
        while missing and (new := await scan.next()):
            for found in (parse(dead_letter, backend.bucket) for dead_letter in new):
                if not found.is_named(missing):
                    continue
                missing -= {name for name in missing if found.is_named([name])}
                try:
                    body = await whole_body(backend.store, backend.bucket, found)
                except BackendError as error:
                    report(found, error)
                else:
                    report(replace(found, body=body), None)
    return missing

"""What `thumbq dlq` does: the dead letters of the queue that the settings name are opened, and seen to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from thumbq.backends import open_backend
from thumbq.deadletters import purge as purging
from thumbq.deadletters import redrive as redriving
from thumbq.deadletters import show as showing
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.deadletters.purge import Choice, Looked
    from thumbq.deadletters.redrive import Redriven
    from thumbq.deadletters.show import Listed
    from thumbq.errors import BackendError
    from thumbq.ports import Backend, DeadLetters, MoveProgress
    from thumbq.settings import Settings


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator[tuple[Backend, DeadLetters]]:
    """Open the default queue's backend and its dead letters. Raises SetupError, also when the queue has none."""
    async with open_backend(settings, existing=True) as backend:
        yield backend, dead_letters_of(backend, str(settings.default_queue.queue))


def dead_letters_of(backend: Backend, queue: str) -> DeadLetters:
    """Return the dead letters of a backend. Raises SetupError when its queue has no dead-letter queue."""
    if backend.dead_letters is None:
        what = f"the queue {queue} has no dead-letter queue"
        fix = "run thumbq setup, which makes one, or give the queue a redrive policy"
        raise SetupError([Problem(what, fix)])
    return backend.dead_letters


async def show_all(settings: Settings, *, limit: int, report: Callable[[ParsedDeadLetter], bool]) -> Listed:
    """Report up to ``limit`` dead letters; see ``deadletters.show``."""
    async with open_dead_letters(settings) as opened:
        return await showing.show_all(*opened, limit=limit, report=report)


async def show(
    settings: Settings, names: Iterable[str], *, report: Callable[[ParsedDeadLetter, BackendError | None], None]
) -> set[str]:
    """Report the dead letters with these ids; see ``deadletters.show``."""
    async with open_dead_letters(settings) as opened:
        return await showing.show(*opened, names, report=report)


async def count(settings: Settings) -> int:
    """Return how many dead letters there are (on SQS: about how many), hidden ones included."""
    async with open_dead_letters(settings) as (backend, _):
        return (await backend.queue.counts()).dead


async def purge(settings: Settings) -> None:
    """Remove all dead letters, hidden ones included."""
    async with open_dead_letters(settings) as (_, dead_letters):
        await dead_letters.purge()


async def find(settings: Settings, choice: Choice, *, report: Callable[[ParsedDeadLetter], None]) -> Looked:
    """Report the visible dead letters that are chosen; see ``deadletters.purge``."""
    async with open_dead_letters(settings) as opened:
        return await purging.find(*opened, choice, report=report)


async def remove(
    settings: Settings, choice: Choice, *, report: Callable[[ParsedDeadLetter, str | None], None]
) -> Looked:
    """Remove the visible dead letters that are chosen; see ``deadletters.purge``."""
    async with open_dead_letters(settings) as opened:
        return await purging.remove(*opened, choice, report=report)


async def redrive_all(
    settings: Settings,
    *,
    rate: int | None,
    report: Callable[[Redriven], None],
    moving: Callable[[MoveProgress], None],
) -> int:
    """Redrive all dead letters; see ``deadletters.redrive``."""
    async with open_dead_letters(settings) as opened:
        return await redriving.redrive_all(*opened, rate=rate, report=report, moving=moving)


async def redrive_some(
    settings: Settings, names: Iterable[str], *, rate: int | None, report: Callable[[Redriven], None]
) -> set[str]:
    """Redrive the dead letters with these ids; see ``deadletters.redrive``."""
    async with open_dead_letters(settings) as opened:
        return await redriving.redrive_some(*opened, names, rate=rate, report=report)

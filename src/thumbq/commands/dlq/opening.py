"""Opening the dead letters that the settings name."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from thumbq.backends import open_backend
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thumbq.ports import Backend, DeadLetters
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

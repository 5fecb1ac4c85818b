"""What `thumbq pause` and `thumbq resume` do: the store says which queues are paused, and every replica reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from thumbq import pauses
from thumbq.backends import open_backend
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.pauses import Pause
    from thumbq.settings import Settings


async def pause(settings: Settings, queue: str | None) -> dict[str, Pause]:
    """Pause a queue, or all of them, and return the pauses that stand. Raises SetupError for an unknown queue."""
    names = _names(settings, queue)
    async with open_backend(settings, existing=True) as backend:
        return {name: await pauses.pause(backend.store, backend.bucket, name, now=time.time()) for name in names}


async def resume(settings: Settings, queue: str | None) -> dict[str, Pause | None]:
    """End the pause of a queue, or of all of them, and return each; None for a queue that was not paused."""
    names = _names(settings, queue)
    async with open_backend(settings, existing=True) as backend:
        return {name: await pauses.resume(backend.store, backend.bucket, name) for name in names}


def _names(settings: Settings, queue: str | None) -> Sequence[str]:
    names = [config.label for config in settings.opened_queues]
    if queue is None:
        return names
    if queue not in names:
        raise SetupError([Problem(f"there is no queue named {queue}", f"name one of {', '.join(names)}, or none")])
    return [queue]

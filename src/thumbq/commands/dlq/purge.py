"""What `thumbq dlq purge` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.commands.dlq.opening import open_dead_letters

if TYPE_CHECKING:
    from thumbq.settings import Settings


async def count(settings: Settings) -> int:
    """Return how many dead letters there are (on SQS: about how many), hidden ones included."""
    async with open_dead_letters(settings) as (backend, _):
        return (await backend.queue.counts()).dead


async def purge(settings: Settings) -> None:
    """Remove all dead letters, hidden ones included."""
    async with open_dead_letters(settings) as (_, dead_letters):
        await dead_letters.purge()

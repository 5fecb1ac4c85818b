"""A walk through the dead letters of a queue, as a replica makes it: those that stay are given back at its end."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.errors import BackendError
from thumbq.ports import MAX_BATCH, VisibilityChange, batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from thumbq.ports import DeadLetter, DeadLetters

_WAIT_S: Final = 1
_HIDE_S: Final = 60
_GIVE_BACK_S: Final = 2.0


class DeadLetterWalk:
    """Receives dead letters, ``at_most`` so many.

    ``looked`` is how many it has received, ``held`` the receipts of those that stay.
    """

    def __init__(self, dead_letters: DeadLetters, *, at_most: int) -> None:
        self.held: list[str] = []
        self.looked = 0
        self._dead_letters = dead_letters
        self._at_most = at_most

    async def pages(self) -> AsyncIterator[Sequence[DeadLetter]]:
        """Yield what each receive brings, until one brings nothing. Raises BackendError."""
        while self.looked < self._at_most:
            found = await self._dead_letters.receive(
                max_messages=MAX_BATCH, wait_s=_WAIT_S, visibility_timeout_s=_HIDE_S
            )
            if not found:
                return
            self.looked += len(found)
            yield found

    async def give_back(self) -> None:
        """Give back what is held, as far as the queue answers in time."""
        with anyio.move_on_after(_GIVE_BACK_S, shield=True):
            async with anyio.create_task_group() as tasks:
                for batch in batches(self.held):
                    tasks.start_soon(self._show_again, batch)

    async def _show_again(self, receipts: Sequence[str]) -> None:
        with suppress(BackendError):
            await self._dead_letters.extend([VisibilityChange(receipt, 0) for receipt in receipts])


@asynccontextmanager
async def walking(dead_letters: DeadLetters, *, at_most: int) -> AsyncIterator[DeadLetterWalk]:
    """Walk through dead letters; what is held is given back, whatever ends the walk."""
    walk = DeadLetterWalk(dead_letters, at_most=at_most)
    try:
        yield walk
    finally:
        await walk.give_back()

"""Places for jobs in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from thumbq.ports import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable


class Places:
    """Places for jobs in flight: ``total``, but only ``first`` until one job has ended.

    Each death of a replica costs everything that it holds a receive: one that dies of the first job that it begins,
    again and again, takes few messages along. ``waiting`` says how many jobs wait for a render process.
    """

    def __init__(self, total: int, *, first: int, waiting: Callable[[], int] = lambda: 0) -> None:
        self.total = total
        self._waiting = waiting
        self._first = min(first, total)
        self._taken = 0
        self._proven = False
        self._freed = anyio.Event()

    @property
    def open(self) -> int:
        """How many places there are now."""
        return self.total if self._proven else self._first

    @property
    def worth_a_receive(self) -> int:
        """How many free places are worth a request: those beyond ``first`` are there to wait, at most one batch."""
        return min(MAX_BATCH, max(1, self.total - self._first), self.open)

    @property
    def next_at_hand(self) -> bool:
        """Whether there is a job for the next render process that is free."""
        return self._waiting() > 0

    @property
    def free(self) -> int:
        """How many of them are free."""
        return self.open - self._taken

    @property
    def taken(self) -> int:
        """How many jobs are in flight."""
        return self._taken

    @property
    def idle(self) -> bool:
        """Whether no job is in flight."""
        return not self._taken

    def take(self) -> None:
        """Take a free place."""
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back after a job has ended."""
        self._taken -= 1
        self._proven = True
        self.wake()

    def wake(self) -> None:
        """End a wait."""
        self._freed.set()

    async def wait(self, at_most_s: float) -> None:
        """Wait until a place is given back (or ``wake`` is called), at most so long."""
        self._freed = anyio.Event()
        with anyio.move_on_after(at_most_s):
            await self._freed.wait()

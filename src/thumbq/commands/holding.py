"""Dead letters in hand: looking at one is receiving it, so whoever looks has to give it back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.errors import BackendError, Problem, SetupError
from thumbq.ports import MAX_BATCH, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from thumbq.ports import Backend, DeadLetter, DeadLetters

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

HOLD_S: Final = 60
"""How long a letter that was looked at stays hidden from others."""

ROUND: Final = 80
"""How many letters are looked at together at the most."""

END_S: Final = 15
"""The most that giving back, or removing what was sent, may take; also after Ctrl-C."""

MOST: Final = 100_000
"""How many letters one listing tells apart from those that it has shown; it ends there."""

MAX_RATE: Final = 500
"""The most letters a second that a redrive can be held to (Amazon SQS API Reference, StartMessageMoveTask)."""

_MOST_REQUESTS: Final = ROUND // MAX_BATCH
_WAIT_S: Final = 1
_GIVING_BACK: Final = 8
_REMOVALS: Final = 4
_AGAIN_S: Final = 0.2


def dead_letters_of(backend: Backend, queue: str) -> DeadLetters:
    """Return the dead letters of a backend. Raises SetupError when its queue has no place for them."""
    if backend.dead_letters is None:
        what = f"the queue {queue} has no dead-letter queue"
        fix = "run thumbq setup, which makes one, or give the queue a redrive policy"
        raise SetupError([Problem(what, fix)])
    return backend.dead_letters


class Holder:
    """Receives dead letters, and remembers the receipts of those that are still hidden because of it.

    A hold that has run out needs no giving back: what is remembered is what a minute brings, and never more.
    """

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._until: dict[str, float] = {}
        self._requests = 1

    async def receive(self, limit: int = ROUND) -> list[DeadLetter]:
        """Look at up to ``limit`` letters, each once; none means that none is visible.

        While there are many, several requests are under way at the same time. A cancelled call ends them first, so that
        nothing stays hidden that nobody knows of.
        """
        requests = min(self._requests, -(-limit // MAX_BATCH))
        answers: list[Sequence[DeadLetter]] = []
        failures: list[BackendError] = []

        async def one(most: int) -> None:
            until = anyio.current_time() + HOLD_S
            try:
                taken = await self._letters.receive(max_messages=most, wait_s=_WAIT_S, visibility_timeout_s=HOLD_S)
            except BackendError as error:
                failures.append(error)
                return
            self._until.update((letter.receipt, until) for letter in taken)
            answers.append(taken)

        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for request in range(requests):
                    tasks.start_soon(one, min(MAX_BATCH, limit - request * MAX_BATCH))
        self._requests = min(2 * requests, _MOST_REQUESTS) if all(answers) else 1
        self._forget_expired()
        await anyio.lowlevel.checkpoint()
        if failures:
            raise failures[0]
        return list({letter.id: letter for taken in answers for letter in taken}.values())

    def holds(self, letter: DeadLetter, *, for_s: float) -> bool:
        """Whether a letter stays hidden for so long yet."""
        return self._until.get(letter.receipt, 0.0) > anyio.current_time() + for_s

    async def remove(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Delete up to ten letters, and return those that may still be there."""
        left = {letter.receipt: letter for letter in letters}
        for tries_before in range(_REMOVALS):
            if not left:
                break
            await anyio.sleep(_AGAIN_S * tries_before)
            receipts = list(left)
            try:
                results = await self._letters.delete(receipts)
            except BackendError:
                continue
            for receipt, result in zip(receipts, results, strict=True):
                if result is EntryResult.OK:
                    del left[receipt], self._until[receipt]
        return list(left.values())

    async def give_back(self) -> None:
        """Make what is held visible again, as far as the server answers; time does the rest."""
        self._forget_expired()
        receipts = iter(list(self._until))
        self._until.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(_GIVING_BACK):
                tasks.start_soon(self._give_back, receipts)

    async def _give_back(self, receipts: Iterator[str]) -> None:
        while batch := list(islice(receipts, MAX_BATCH)):
            try:
                await self._letters.extend([VisibilityChange(receipt, 0) for receipt in batch])
            except BackendError as error:
                log.warning("dead_letters.hidden_for_a_minute", error=str(error), letters=len(batch))

    def _forget_expired(self) -> None:
        now = anyio.current_time()
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]


@asynccontextmanager
async def holding(letters: DeadLetters) -> AsyncIterator[Holder]:
    """Hold letters for as long as the block runs; leaving it, in whatever way, gives back what is still held."""
    holder = Holder(letters)
    try:
        yield holder
    finally:
        with anyio.move_on_after(END_S, shield=True) as scope:
            await holder.give_back()
        if scope.cancelled_caught:
            log.warning("dead_letters.hidden_for_a_minute", error=f"giving back took more than {END_S} s")

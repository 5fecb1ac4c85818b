"""Leases on dead letters: SQS has no peek, so a command receives dead letters, and gives back those that it leaves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.errors import BackendError
from thumbq.ports import MAX_BATCH, EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from thumbq.ports import DeadLetter, DeadLetters

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LEASE_S: Final = 60
"""How long a received dead letter stays hidden from others."""

ROUND: Final = 80
"""The most dead letters that one call of ``receive`` returns."""

END_S: Final = 15
"""The most that giving back, or removing redriven dead letters, may take; also after Ctrl-C."""

_MOST_REQUESTS: Final = ROUND // MAX_BATCH
_WAIT_S: Final = 1
_GIVING_BACK: Final = 8
_REMOVALS: Final = 4
_AGAIN_S: Final = 0.2


class DeadLetterLeases:
    """Receives dead letters, and remembers the receipts whose leases still run.

    A lease that has run out needs no giving back. So at most the dead letters of one minute are remembered.
    """

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._until: dict[str, float] = {}
        self._requests = 1

    async def receive(self, limit: int = ROUND) -> list[DeadLetter]:
        """Receive up to ``limit`` dead letters, each once; an empty list means that none is visible.

        While there are many, several requests are under way at the same time. A cancelled call ends them first, so that
        every dead letter that they bring is given back.
        """
        requests = min(self._requests, -(-limit // MAX_BATCH))
        answers: list[Sequence[DeadLetter]] = []
        failures: list[BackendError] = []

        async def one(most: int) -> None:
            until = anyio.current_time() + LEASE_S
            try:
                received = await self._dead_letters.receive(
                    max_messages=most, wait_s=_WAIT_S, visibility_timeout_s=LEASE_S
                )
            except BackendError as error:
                failures.append(error)
                return
            self._until.update((dead_letter.receipt, until) for dead_letter in received)
            answers.append(received)

        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for request in range(requests):
                    tasks.start_soon(one, min(MAX_BATCH, limit - request * MAX_BATCH))
        self._requests = min(2 * requests, _MOST_REQUESTS) if all(answers) else 1
        self._forget_expired()
        await anyio.lowlevel.checkpoint()
        if failures:
            raise failures[0]
        return list({dead_letter.id: dead_letter for received in answers for dead_letter in received}.values())

    def lasts(self, dead_letter: DeadLetter, *, for_s: float) -> bool:
        """Whether the lease on a dead letter lasts for so long yet."""
        return self._until.get(dead_letter.receipt, 0.0) > anyio.current_time() + for_s

    async def remove(self, dead_letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Delete up to ten dead letters, and return those that may still be there."""
        left = {dead_letter.receipt: dead_letter for dead_letter in dead_letters}
        for tries_before in range(_REMOVALS):
            if not left:
                break
            await anyio.sleep(_AGAIN_S * tries_before)
            receipts = list(left)
            try:
                results = await self._dead_letters.delete(receipts)
            except BackendError:
                continue
            for receipt, result in zip(receipts, results, strict=True):
                if result is EntryResult.OK:
                    del left[receipt], self._until[receipt]
        return list(left.values())

    async def give_back(self) -> None:
        """Make all leased dead letters visible again; where the server does not answer, their leases run out."""
        self._forget_expired()
        receipts = iter(list(self._until))
        self._until.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(_GIVING_BACK):
                tasks.start_soon(self._give_back, receipts)

    async def _give_back(self, receipts: Iterator[str]) -> None:
        while batch := list(islice(receipts, MAX_BATCH)):
            try:
                await self._dead_letters.extend([VisibilityChange(receipt, 0) for receipt in batch])
            except BackendError as error:
                log.warning("dead_letters.hidden_for_a_minute", error=str(error), dead_letters=len(batch))

    def _forget_expired(self) -> None:
        now = anyio.current_time()
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]


@asynccontextmanager
async def leasing(dead_letters: DeadLetters) -> AsyncIterator[DeadLetterLeases]:
    """Lease dead letters for as long as the block runs; leaving it, also by an error, gives back those still leased."""
    leases = DeadLetterLeases(dead_letters)
    try:
        yield leases
    finally:
        with anyio.move_on_after(END_S, shield=True) as scope:
            await leases.give_back()
        if scope.cancelled_caught:
            log.warning("dead_letters.hidden_for_a_minute", error=f"giving back took more than {END_S} s")

"""What the local dead letters promise beyond the contract: order, exact times, and others that look too."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SetClock
from thumbq.errors import BackendError
from thumbq.local import schema
from thumbq.ports import EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import DeadLetter, DeadLetters


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def dead(directory: Path, clock: SetClock) -> AsyncIterator[DeadLetters]:
    async with open_local(directory, clock=clock) as backend:
        assert backend.dead_letters is not None
        yield backend.dead_letters


async def receive_from(dead: DeadLetters, *, timeout_s: int = 60, number: int = 10) -> list[DeadLetter]:
    return list(await dead.receive(max_messages=number, wait_s=0, visibility_timeout_s=timeout_s))


async def test_what_was_looked_at_comes_after_what_was_not(dead: DeadLetters, clock: SetClock) -> None:
    for body in "abcd":
        await dead.send(body, "{}")
        clock.now += 1
    first = await receive_from(dead, number=2)
    await dead.extend([VisibilityChange(dead_letter.receipt, 0) for dead_letter in first])
    assert [dead_letter.body for dead_letter in first] == ["a", "b"]
    assert [dead_letter.body for dead_letter in await receive_from(dead)] == ["c", "d", "a", "b"]


async def test_a_lease_ends_at_exactly_its_time(dead: DeadLetters, clock: SetClock) -> None:
    await dead.send("a", "{}")
    [dead_letter] = await receive_from(dead)
    clock.now += 59.99
    assert not await receive_from(dead)
    clock.now += 0.01
    assert await dead.extend([VisibilityChange(dead_letter.receipt, 9)]) == [EntryResult.LOST]
    assert await receive_from(dead)


async def test_a_clock_set_back_far_hides_no_dead_letters(dead: DeadLetters, clock: SetClock) -> None:
    await dead.send("looked at", "{}")
    await receive_from(dead)
    await dead.send("waiting", "{}")
    clock.now -= 13 * 3600
    assert len(await receive_from(dead)) == 2


async def test_a_cancelled_receive_is_undone(dead: DeadLetters, directory: Path) -> None:
    await dead.send("a", "{}")
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME, isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        looking = asyncio.ensure_future(dead.receive(max_messages=1, wait_s=0, visibility_timeout_s=600))
        await asyncio.sleep(0.05)  # lets it wait for the lock
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        neighbour.execute("ROLLBACK")
    [dead_letter] = await receive_from(dead)
    assert dead_letter.receive_count == 1


async def test_there_is_no_move_to_follow(dead: DeadLetters) -> None:
    with pytest.raises(BackendError):
        await dead.move_progress("made up")

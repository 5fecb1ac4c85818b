"""What the local queue promises beyond the contract: order, exact times, and clocks that jump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from support.backends import open_local
from support.doubles.clocks import SetClock
from support.patience import within
from support.virtual_time import on_virtual_time
from thumbq.ports import EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend, JobQueue, ReceivedMessage

HOUR = 3600.0


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def queue(directory: Path, clock: SetClock) -> AsyncIterator[JobQueue]:
    async with open_local(directory, clock=clock, max_receive_count=2) as backend:
        yield backend.queue


async def take(queue: JobQueue, *, timeout_s: int = 30, number: int = 10) -> list[ReceivedMessage]:
    return list(await queue.receive(max_messages=number, wait_s=0, visibility_timeout_s=timeout_s))


async def test_the_oldest_comes_first_also_when_it_was_released(queue: JobQueue, clock: SetClock) -> None:
    for body in "abc":
        await queue.send(body)
        clock.now += 1
    [first] = await take(queue, number=1)
    await queue.extend([VisibilityChange(first.receipt, 0)])
    assert [message.body for message in await take(queue)] == ["a", "b", "c"]


async def test_a_message_is_hidden_until_exactly_its_time(queue: JobQueue, clock: SetClock) -> None:
    await queue.send("a")
    await take(queue, timeout_s=30)
    clock.now += 29.99
    assert not await take(queue)
    clock.now += 0.01
    assert await take(queue)


async def test_extensions_reach_12_hours_from_the_receive_and_no_further(queue: JobQueue, clock: SetClock) -> None:
    await queue.send("a")
    [message] = await take(queue, timeout_s=43_200)
    clock.now += 11 * HOUR
    assert await queue.extend([VisibilityChange(message.receipt, 3601)]) == [EntryResult.CAPPED]
    assert await queue.extend([VisibilityChange(message.receipt, 3600)]) == [EntryResult.OK]
    clock.now += HOUR
    assert await queue.extend([VisibilityChange(message.receipt, 1)]) == [EntryResult.LOST]


@pytest.mark.parametrize("jump_s", [-13 * HOUR, -365 * 24 * HOUR])
async def test_a_clock_set_back_far_does_not_hide_messages(queue: JobQueue, clock: SetClock, jump_s: float) -> None:
    await queue.send("waiting")
    await queue.send("held")
    clock.now += jump_s
    assert len(await take(queue)) == 2


async def test_a_clock_set_back_a_little_hides_messages_for_12_hours_at_most(queue: JobQueue, clock: SetClock) -> None:
    await queue.send("a")
    await take(queue, timeout_s=600)
    clock.now -= 11 * HOUR
    assert not await take(queue)
    clock.now += 12 * HOUR
    assert await take(queue)


async def test_a_held_message_stays_held_by_its_beats_when_the_clock_is_set_back(
    queue: JobQueue, clock: SetClock
) -> None:
    await queue.send("a")
    [message] = await take(queue, timeout_s=30)
    clock.now -= HOUR
    assert await queue.extend([VisibilityChange(message.receipt, 30)]) == [EntryResult.OK]
    assert not await take(queue)
    clock.now += 31
    assert await take(queue)


async def test_a_dead_letter_does_not_use_up_a_place_in_the_batch(queue: JobQueue) -> None:
    await queue.send("poison")
    for _ in range(2):
        await take(queue, timeout_s=0)
    for number in range(10):
        await queue.send(f"{number}")
    assert len(await take(queue)) == 10
    assert (await queue.counts()).dead == 1


async def test_a_receipt_of_nothing_is_lost(queue: JobQueue) -> None:
    await queue.send("a")
    for receipt in ("", "1", "1:made-up", "x:y", "99:zz"):
        assert await queue.extend([VisibilityChange(receipt, 0)]) == [EntryResult.LOST]
    assert await queue.delete(["", "1", "1:made-up", "x:y"]) == [EntryResult.LOST] * 4
    assert (await queue.counts()).visible == 1


async def test_stop_receiving_ends_an_open_long_poll_at_once(backend: Backend) -> None:
    async def stop_receiving() -> None:
        await anyio.sleep(0.05)  # lets the poll begin
        backend.queue.stop_receiving()

    with within(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_receiving)
            assert not await backend.queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=9)


async def test_a_long_poll_returns_what_was_released_in_its_process_at_once(backend: Backend) -> None:
    await backend.queue.send("a")
    [message] = await take(backend.queue)

    async def release() -> None:
        await anyio.sleep(0.05)  # lets the poll begin
        await backend.queue.extend([VisibilityChange(message.receipt, 0)])

    with within(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            assert await backend.queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=9)


@pytest.mark.parametrize(("what_happens", "returned_at"), [("a send", 5), ("a stop", 5), ("nothing", 20)])
def test_a_long_poll_ends_with_a_message_a_stop_or_its_wait(
    directory: Path, what_happens: str, returned_at: float
) -> None:
    async def poll(queue: JobQueue) -> None:
        await queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=30)
        assert anyio.current_time() == pytest.approx(returned_at)
        queue.stop_receiving()
        assert not await queue.receive(max_messages=1, wait_s=20, visibility_timeout_s=30)
        assert anyio.current_time() == pytest.approx(returned_at)

    async def work() -> None:
        async with open_local(directory, clock=SetClock()) as backend, anyio.create_task_group() as tasks:
            tasks.start_soon(poll, backend.queue)
            await anyio.sleep(5)
            if what_happens == "a send":
                await backend.queue.send("a")
            elif what_happens == "a stop":
                backend.queue.stop_receiving()

    on_virtual_time(work)

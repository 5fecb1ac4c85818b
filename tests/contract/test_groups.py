"""What every JobQueue promises of message groups: an order in a FIFO queue, a word that is kept in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import within
from thumbq.errors import SendRefused
from thumbq.ports import EntryResult, VisibilityChange

if TYPE_CHECKING:
    from thumbq.ports import Backend, ReceivedMessage

# Starting an emulator for the first time may mean fetching it: only the claim itself is on the clock.
pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

MAX_RECEIVE_COUNT = 3
OK = EntryResult.OK


async def fill(backend: Backend, *bodies: str) -> None:
    """Send bodies such as ``a1``: the first letter is the group."""
    for body in bodies:
        await backend.queue.send(body, group=body[0])


async def receive(backend: Backend, number: int = 10, *, timeout_s: int = 30, wait_s: int = 0) -> list[ReceivedMessage]:
    return list(await backend.queue.receive(max_messages=number, wait_s=wait_s, visibility_timeout_s=timeout_s))


def bodies(messages: list[ReceivedMessage]) -> list[str]:
    return [message.body for message in messages]


async def release(backend: Backend, message: ReceivedMessage, *, delay_s: int = 0) -> None:
    assert await backend.queue.extend([VisibilityChange(message.receipt, delay_s)]) == [OK]


async def test_a_message_comes_with_its_group(backend: Backend) -> None:
    await backend.queue.send("a", group="tenant-1")
    await backend.queue.send("b")
    messages = await receive(backend) + await receive(backend)
    assert {message.body: message.group for message in messages} == {"a": "tenant-1", "b": None}


async def test_a_group_means_no_order_in_a_queue_that_is_not_fifo(backend: Backend) -> None:
    assert not backend.fifo
    assert not (await backend.queue.attributes()).fifo
    await fill(backend, "a1", "a2")
    assert bodies(await receive(backend, 1) + await receive(backend, 1)) == ["a1", "a2"]


async def test_a_fifo_queue_says_so(fifo: Backend) -> None:
    assert fifo.fifo
    assert (await fifo.queue.attributes()).fifo


async def test_a_fifo_queue_refuses_a_message_without_a_group(fifo: Backend) -> None:
    with pytest.raises(SendRefused):
        await fifo.queue.send("a")
    assert not await receive(fifo)


async def test_one_receive_brings_several_of_a_group_in_order(fifo: Backend) -> None:
    await fill(fifo, *(f"a{number}" for number in range(12)))
    assert bodies(await receive(fifo)) == [f"a{number}" for number in range(10)]


async def test_the_next_of_a_group_waits_until_the_one_before_is_deleted(fifo: Backend) -> None:
    await fill(fifo, "a1", "a2")
    [first] = await receive(fifo, 1)
    assert not await receive(fifo)
    assert await fifo.queue.delete([first.receipt]) == [OK]
    assert bodies(await receive(fifo)) == ["a2"]


async def test_groups_do_not_wait_for_each_other(fifo: Backend) -> None:
    await fill(fifo, "a1", "a2", "b1", "c1", "b2")
    assert bodies(await receive(fifo, 1)) == ["a1"]
    others = bodies(await receive(fifo))
    assert sorted(others) == ["b1", "b2", "c1"]
    assert others.index("b1") < others.index("b2")


async def test_what_is_released_comes_again_before_the_rest_of_its_group(fifo: Backend) -> None:
    await fill(fifo, "a1", "a2", "a3")
    for message in await receive(fifo, 2):
        await release(fifo, message)
    again = await receive(fifo)
    assert [(message.body, message.receive_count) for message in again] == [("a1", 2), ("a2", 2), ("a3", 1)]


async def test_a_message_that_waits_for_its_next_attempt_keeps_its_group_back(fifo: Backend) -> None:
    await fill(fifo, "a1", "a2", "a3")
    first, second = await receive(fifo, 2)
    await release(fifo, second)
    await release(fifo, first, delay_s=1)
    assert not await receive(fifo)
    with within(10):
        assert bodies(await receive(fifo, wait_s=5)) == ["a1", "a2", "a3"]


async def test_a_group_goes_on_past_a_dead_letter(fifo: Backend) -> None:
    assert fifo.dead_letters is not None
    await fill(fifo, "a1", "a2")
    for _ in range(MAX_RECEIVE_COUNT):
        assert bodies(await receive(fifo, 1, timeout_s=0)) == ["a1"]
    [second] = await receive(fifo)
    assert (second.body, second.receive_count) == ("a2", 1)
    [letter] = await fifo.dead_letters.receive(max_messages=10, wait_s=1, visibility_timeout_s=30)
    assert (letter.body, letter.group) == ("a1", "a")


async def test_dead_letters_keep_the_group_that_they_are_sent_with(fifo: Backend) -> None:
    assert fifo.dead_letters is not None
    await fifo.dead_letters.send("a1", "{}", group="a")
    [letter] = await fifo.dead_letters.receive(max_messages=10, wait_s=1, visibility_timeout_s=30)
    assert (letter.body, letter.note, letter.group) == ("a1", "{}", "a")


async def test_receivers_side_by_side_keep_the_order_of_every_group(fifo: Backend) -> None:
    done: dict[str, list[int]] = {name: [] for name in "abcd"}
    await fill(fifo, *(f"{name}{number}" for number in range(5) for name in done))

    async def consume() -> None:
        while sum(map(len, done.values())) < 20:
            for message in await receive(fifo, 3):
                await anyio.lowlevel.checkpoint()
                done[message.body[0]].append(int(message.body[1]))
                await fifo.queue.delete([message.receipt])

    with within(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(consume)
    assert done == {name: [0, 1, 2, 3, 4] for name in done}

"""What every JobQueue promises."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import within
from thumbq.errors import SendRefused
from thumbq.ports import EntryResult, QueueCounts, ReceivedMessage, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.ports import Backend, JobQueue

# Starting an emulator for the first time may mean fetching it: only the claim itself is on the clock.
pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

OK, LOST, CAPPED = EntryResult.OK, EntryResult.LOST, EntryResult.CAPPED
MAX_RECEIVE_COUNT = 3
WAIT_S = 20
"""The longest that SQS has a poll wait."""


async def take(queue: JobQueue, number: int = 1, *, timeout_s: int = 30) -> list[ReceivedMessage]:
    """Receive exactly ``number`` messages; a queue may hand out fewer at a time than it has."""
    messages: list[ReceivedMessage] = []
    with within(10):
        while len(messages) < number:
            messages += await queue.receive(
                max_messages=min(10, number - len(messages)), wait_s=1, visibility_timeout_s=timeout_s
            )
    return messages


async def nothing_visible(queue: JobQueue) -> bool:
    return not await queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)


async def test_a_message_arrives_as_it_was_sent(backend: Backend) -> None:
    body = '{"key": "猫 🐈‍⬛.png", "quotes": "\'\\"<&>", "lines": "\\n"}\n\ttail '
    message_id = await backend.queue.send(body)
    [message] = await take(backend.queue)
    assert (message.id, message.body, message.receive_count) == (message_id, body, 1)
    assert message.receipt


async def test_messages_that_are_sent_at_once_all_arrive_each_under_its_own_id(backend: Backend) -> None:
    bodies = [f"message {number}" for number in range(12)]
    ids = await asyncio.gather(*map(backend.queue.send, bodies))
    received = {message.id: message.body for message in await take(backend.queue, 12)}
    assert received == dict(zip(ids, bodies, strict=True))


async def test_a_message_comes_with_its_time_of_sending(backend: Backend) -> None:
    before = time.time()
    await backend.queue.send("a")
    after = time.time()
    [message] = await take(backend.queue)
    assert message.sent_at is not None
    assert before - 1 <= message.sent_at <= after + 1


async def test_a_body_of_1_mib_is_taken(backend: Backend) -> None:
    body = "x" * (1 << 20)
    await backend.queue.send(body)
    assert [message.body for message in await take(backend.queue)] == [body]


@pytest.mark.parametrize(
    "body", ["x" * ((1 << 20) + 1), "bell \x07", ""], ids=["too long", "control character", "empty"]
)
async def test_what_sqs_does_not_take_is_refused_for_certain(backend: Backend, body: str) -> None:
    with pytest.raises(SendRefused):
        await backend.queue.send(body)
    assert await nothing_visible(backend.queue)


async def test_a_message_in_flight_is_hidden(backend: Backend) -> None:
    await backend.queue.send("a")
    await take(backend.queue)
    assert await nothing_visible(backend.queue)


async def test_a_message_comes_back_after_its_time_out_with_a_new_receipt_and_a_higher_count(backend: Backend) -> None:
    message_id = await backend.queue.send("a")
    [first] = await take(backend.queue, timeout_s=1)
    [second] = await take(backend.queue)
    assert (second.id, second.body, second.receive_count) == (message_id, "a", 2)
    assert second.receipt != first.receipt
    assert second.sent_at == first.sent_at


async def test_a_message_released_at_0_is_visible_at_once(backend: Backend) -> None:
    await backend.queue.send("a")
    [message] = await take(backend.queue)
    assert await backend.queue.extend([VisibilityChange(message.receipt, 0)]) == [OK]
    [again] = await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    assert again.receive_count == 2


async def test_extending_counts_from_now_whether_it_holds_longer_or_shorter(backend: Backend) -> None:
    await backend.queue.send("a")
    [longer] = await take(backend.queue, timeout_s=1)
    shorter_id = await backend.queue.send("b")
    [shorter] = await take(backend.queue, timeout_s=600)
    changes = [VisibilityChange(longer.receipt, 30), VisibilityChange(shorter.receipt, 1)]
    assert await backend.queue.extend(changes) == [OK, OK]
    assert [message.id for message in await take(backend.queue)] == [shorter_id]
    assert await nothing_visible(backend.queue)


async def test_extending_cannot_go_past_12_hours(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-ministack", "takes any time-out")
    await backend.queue.send("a")
    [message] = await take(backend.queue)
    assert await backend.queue.extend([VisibilityChange(message.receipt, 43_201)]) == [CAPPED]
    assert await backend.queue.extend([VisibilityChange(message.receipt, 43_100)]) == [OK]


async def test_a_superseded_receipt_extends_nothing(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-moto", "answers 200 to a superseded receipt and changes the time-out")
    await backend.queue.send("a")
    [first] = await take(backend.queue)
    await backend.queue.extend([VisibilityChange(first.receipt, 0)])
    await take(backend.queue)
    assert await backend.queue.extend([VisibilityChange(first.receipt, 0)]) == [LOST]
    assert await nothing_visible(backend.queue)


async def test_a_superseded_receipt_does_not_delete(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-moto", "deletes by a superseded receipt")
    await backend.queue.send("a")
    [first] = await take(backend.queue)
    await backend.queue.extend([VisibilityChange(first.receipt, 0)])
    [second] = await take(backend.queue)
    await backend.queue.delete([first.receipt])
    assert await backend.queue.extend([VisibilityChange(second.receipt, 0)]) == [OK]
    assert len(await take(backend.queue)) == 1


async def test_a_receipt_that_ran_out_extends_nothing(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-moto", "hides the message again")
    not_on("aws-ministack", "hides the message again")
    await backend.queue.send("a")
    [message] = await take(backend.queue, timeout_s=0)
    assert await backend.queue.extend([VisibilityChange(message.receipt, 30)]) == [LOST]
    assert len(await take(backend.queue)) == 1


async def test_a_receipt_that_ran_out_still_deletes_what_nobody_else_took(backend: Backend) -> None:
    await backend.queue.send("a")
    [message] = await take(backend.queue, timeout_s=0)
    assert await backend.queue.delete([message.receipt]) == [OK]
    assert await nothing_visible(backend.queue)


async def test_a_deleted_message_never_comes_back(backend: Backend) -> None:
    await backend.queue.send("a")
    [message] = await take(backend.queue)
    assert await backend.queue.delete([message.receipt]) == [OK]
    assert await backend.queue.extend([VisibilityChange(message.receipt, 0)]) == [LOST]
    assert await nothing_visible(backend.queue)
    assert await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)


async def test_deleting_again_is_no_error(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-ministack", "refuses the receipt of a deleted message")
    await backend.queue.send("a")
    [message] = await take(backend.queue)
    assert await backend.queue.delete([message.receipt]) == [OK]
    assert await backend.queue.delete([message.receipt]) == [OK]


async def test_batches_of_10_answer_by_position(backend: Backend) -> None:
    for number in range(10):
        await backend.queue.send(f"message {number}")
    messages = await take(backend.queue, 10)
    assert sorted(message.body for message in messages) == [f"message {number}" for number in range(10)]
    receipts = [message.receipt for message in messages]
    await backend.queue.delete([receipts[3], receipts[7]])

    results = await backend.queue.extend([VisibilityChange(receipt, 60) for receipt in receipts])

    assert results == [LOST if position in {3, 7} else OK for position in range(10)]
    rest = [receipt for position, receipt in enumerate(receipts) if position not in {3, 7}]
    assert await backend.queue.delete(rest) == [OK] * 8
    assert (await backend.queue.counts()).in_flight == 0


async def test_one_receive_brings_at_most_what_was_asked_for(backend: Backend) -> None:
    for _ in range(12):
        await backend.queue.send("a")
    assert len(await backend.queue.receive(max_messages=3, wait_s=0, visibility_timeout_s=30)) <= 3
    assert len(await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)) <= 10


async def test_two_receivers_never_hold_the_same_message(backend: Backend, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-moto", "hands a message to both of two that ask in the same moment")
    sent = {await backend.queue.send("a") for _ in range(20)}
    received: list[str] = []

    async def consume() -> None:
        while len(received) < len(sent):
            batch = await backend.queue.receive(max_messages=3, wait_s=0, visibility_timeout_s=30)
            received.extend(message.id for message in batch)

    with within(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            tasks.start_soon(consume)

    assert sorted(received) == sorted(sent)


async def test_a_message_received_too_often_becomes_a_dead_letter(backend: Backend) -> None:
    await backend.queue.send("poison")
    counts = [(await take(backend.queue, timeout_s=0))[0].receive_count for _ in range(MAX_RECEIVE_COUNT)]
    assert counts == [1, 2, 3]
    assert await nothing_visible(backend.queue)
    assert await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=1)


async def test_the_queue_tells_its_settings(backend: Backend) -> None:
    attributes = await backend.queue.attributes()
    assert attributes.name
    assert attributes.max_receive_count == MAX_RECEIVE_COUNT
    assert 0 < attributes.visibility_timeout_s <= 43_200


async def test_the_queue_tells_how_long_it_and_its_dead_letters_are_kept(backend: Backend, kind: str) -> None:
    attributes = await backend.queue.attributes()
    for_ever = kind == "local"
    assert attributes.retention_s == (None if for_ever else 4 * 86_400)
    assert attributes.dead_letter_retention_s == (None if for_ever else 14 * 86_400)


async def test_counts_tell_what_waits_and_what_is_in_flight(backend: Backend) -> None:
    for _ in range(5):
        await backend.queue.send("a")
    await take(backend.queue, 2)
    assert await backend.queue.counts() == QueueCounts(visible=3, in_flight=2, delayed=0, dead=0)


async def test_a_long_poll_brings_what_is_sent_meanwhile(backend: Backend) -> None:
    async def poll() -> None:
        assert len(await backend.queue.receive(max_messages=10, wait_s=WAIT_S, visibility_timeout_s=30)) == 1

    with within(WAIT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await anyio.sleep(0.3)  # lets the poll reach the server; sent before it, the claim would be easier
            await backend.queue.send("a")


async def test_an_empty_poll_returns_after_its_wait(backend: Backend) -> None:
    before = anyio.current_time()
    assert not await backend.queue.receive(max_messages=10, wait_s=1, visibility_timeout_s=30)
    assert anyio.current_time() - before > 0.5  # the emulators' clock is the wall's, which may be set meanwhile


async def test_receives_after_a_stop_bring_nothing(backend: Backend) -> None:
    await backend.queue.send("a")
    backend.queue.stop_receiving()
    assert not await backend.queue.receive(max_messages=10, wait_s=WAIT_S, visibility_timeout_s=30)
    assert (await backend.queue.counts()).visible == 1

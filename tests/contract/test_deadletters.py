"""What every DeadLetters promises."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import within
from thumbq.core.deadletter import ATTRIBUTE, Note, decode
from thumbq.errors import SendRefused
from thumbq.ports import DeadLetter, EntryResult, QueueCounts, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.ports import Backend, DeadLetters

# Starting an emulator for the first time may mean fetching it: only the claim itself is on the clock.
pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

OK, LOST = EntryResult.OK, EntryResult.LOST
MAX_RECEIVE_COUNT = 3
NOTE = Note("image-corrupt", 'broken: 猫 "quoted" 🐈', "message-1", 2, trace="Root=1-a-b").encode()


@pytest.fixture
def dead(backend: Backend) -> DeadLetters:
    assert backend.dead_letters is not None
    return backend.dead_letters


async def receive_from(dead: DeadLetters, number: int = 1, *, timeout_s: int = 30) -> list[DeadLetter]:
    """Receive exactly ``number`` dead letters; a queue may hand out fewer at a time than it has."""
    received: list[DeadLetter] = []
    with within(10):
        while len(received) < number:
            received += await dead.receive(
                max_messages=min(10, number - len(received)), wait_s=1, visibility_timeout_s=timeout_s
            )
    return received


async def nothing_visible(dead: DeadLetters) -> bool:
    return not await dead.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)


async def test_a_dead_letter_arrives_with_its_note_as_it_was_sent(backend: Backend, dead: DeadLetters) -> None:
    body = '{"key": "猫 🐈‍⬛.png"}\n\ttail '
    before = time.time()
    await dead.send(body, NOTE)
    after = time.time()
    assert await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=1)

    [dead_letter] = await receive_from(dead)

    assert (dead_letter.body, dead_letter.note, dead_letter.receive_count) == (body, NOTE, 1)
    assert dead_letter.id
    assert dead_letter.sent_at is not None
    assert before - 1 <= dead_letter.sent_at <= after + 1
    note = decode(dead_letter.note)
    assert note is not None
    assert note.reason == 'broken: 猫 "quoted" 🐈'


async def test_what_the_queue_moved_itself_keeps_what_it_was_and_has_no_note(
    backend: Backend, dead: DeadLetters
) -> None:
    message_id = await backend.queue.send("poison")
    sent_at: float | None = None
    for _ in range(MAX_RECEIVE_COUNT):
        [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=0)
        sent_at = message.sent_at
    assert not await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)

    [dead_letter] = await receive_from(dead)

    assert (dead_letter.id, dead_letter.body, dead_letter.note, dead_letter.sent_at) == (
        message_id,
        "poison",
        None,
        sent_at,
    )
    assert dead_letter.receive_count >= MAX_RECEIVE_COUNT


async def test_moved_dead_letters_differ_from_sent_ones(
    backend: Backend, dead: DeadLetters, not_on: Callable[[str, str], None]
) -> None:
    not_on("aws-moto", "does not say which queue a message was moved from")
    await dead.send("put", NOTE)
    await backend.queue.send("moved")
    for _ in range(MAX_RECEIVE_COUNT):
        await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=0)
    assert not await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
    received = {dead_letter.body: dead_letter.moved for dead_letter in await receive_from(dead, 2)}
    assert received == {"put": False, "moved": True}


async def test_a_dead_letter_is_hidden_from_others_while_it_is_leased(backend: Backend, dead: DeadLetters) -> None:
    await dead.send("a", NOTE)
    await receive_from(dead)
    assert await nothing_visible(dead)
    assert (await backend.queue.counts()).dead == 1


async def test_a_dead_letter_comes_back_after_its_time_with_a_new_receipt(dead: DeadLetters) -> None:
    await dead.send("a", NOTE)
    [first] = await receive_from(dead, timeout_s=1)
    [second] = await receive_from(dead)
    assert (second.id, second.body, second.note, second.sent_at) == (first.id, "a", NOTE, first.sent_at)
    assert second.receipt != first.receipt
    assert second.receive_count == first.receive_count + 1


async def test_extending_by_0_gives_a_dead_letter_back_and_by_more_keeps_it(dead: DeadLetters) -> None:
    await dead.send("kept", NOTE)
    [kept] = await receive_from(dead, timeout_s=1)
    await dead.send("given back", NOTE)
    [given_back] = await receive_from(dead)
    changes = [VisibilityChange(kept.receipt, 30), VisibilityChange(given_back.receipt, 0)]
    assert await dead.extend(changes) == [OK, OK]
    assert [dead_letter.body for dead_letter in await receive_from(dead)] == ["given back"]
    await anyio.sleep(1)  # past the first time-out of what was extended
    assert await nothing_visible(dead)


async def test_a_superseded_receipt_changes_nothing(dead: DeadLetters, not_on: Callable[[str, str], None]) -> None:
    not_on("aws-moto", "obeys a superseded receipt")
    await dead.send("a", NOTE)
    [first] = await receive_from(dead)
    await dead.extend([VisibilityChange(first.receipt, 0)])
    [second] = await receive_from(dead)
    assert await dead.extend([VisibilityChange(first.receipt, 0)]) == [LOST]
    await dead.delete([first.receipt])
    assert await dead.extend([VisibilityChange(second.receipt, 0)]) == [OK]


async def test_deleted_dead_letters_are_gone_and_batches_answer_by_position(
    backend: Backend, dead: DeadLetters
) -> None:
    for number in range(10):
        await dead.send(f"{number}", NOTE)
    received = await receive_from(dead, 10)
    assert sorted(dead_letter.body for dead_letter in received) == [f"{number}" for number in range(10)]
    receipts = [dead_letter.receipt for dead_letter in received]
    assert await dead.delete(receipts[:3]) == [OK] * 3
    results = await dead.extend([VisibilityChange(receipt, 0) for receipt in receipts])
    assert results == [LOST] * 3 + [OK] * 7
    assert await dead.delete([dead_letter.receipt for dead_letter in await receive_from(dead, 7)]) == [OK] * 7
    assert (await backend.queue.counts()).dead == 0


async def test_purge_removes_all_also_what_is_looked_at_and_no_message_of_the_queue(
    backend: Backend, dead: DeadLetters
) -> None:
    await backend.queue.send("alive")
    for number in range(5):
        await dead.send(f"{number}", NOTE)
    await receive_from(dead, 2)
    await dead.purge()
    assert await backend.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=0)
    assert await nothing_visible(dead)


async def test_a_dead_letter_with_its_note_has_max_bytes_at_most(
    dead: DeadLetters, not_on: Callable[[str, str], None]
) -> None:
    body = "x" * (dead.max_bytes - len(NOTE.encode()) - len(ATTRIBUTE) - len("String"))
    await dead.send(body, NOTE)
    [dead_letter] = await receive_from(dead)
    assert (dead_letter.body, dead_letter.note) == (body, NOTE)
    not_on("aws-moto", "does not count attributes")
    not_on("aws-ministack", "does not count attributes")
    with pytest.raises(SendRefused):
        await dead.send(body + "x", NOTE)


@pytest.mark.parametrize("body", ["bell \x07", ""], ids=["control character", "empty"])
async def test_what_sqs_does_not_take_is_refused_for_certain(dead: DeadLetters, body: str) -> None:
    with pytest.raises(SendRefused):
        await dead.send(body, NOTE)
    assert await nothing_visible(dead)


async def test_a_receive_waits_for_a_dead_letter_as_long_as_asked(dead: DeadLetters) -> None:
    before = anyio.current_time()
    assert not await dead.receive(max_messages=1, wait_s=1, visibility_timeout_s=30)
    assert anyio.current_time() - before > 0.5  # see test_queue.py


async def test_none_of_these_servers_moves_dead_letters_by_itself_and_says_so(
    backend: Backend, dead: DeadLetters
) -> None:
    await dead.send("a", NOTE)
    assert await dead.start_move(rate=10) is None
    assert await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=1)

"""What both backends promise of the trace that a message is sent in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.doubles.tracing import SENDER
from support.patience import within
from thumbq.core import message
from thumbq.core.deadletter import Note
from thumbq.core.tracecontext import TraceContext
from thumbq.ports.tracing import copying

if TYPE_CHECKING:
    from thumbq.ports import Backend, DeadLetter, DeadLetters, ReceivedMessage

pytestmark = [pytest.mark.timeout(func_only=True), pytest.mark.asyncio(loop_scope="session")]

NOTE = Note("corrupt", "no picture", "m-1", 1).encode()


async def received(backend: Backend) -> ReceivedMessage:
    with within(10):
        while not (found := await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=30)):
            pass
    return found[0]


async def dead_letter(dead_letters: DeadLetters) -> DeadLetter:
    with within(10):
        while not (found := await dead_letters.receive(max_messages=1, wait_s=1, visibility_timeout_s=30)):
            pass
    return found[0]


async def test_a_message_comes_with_the_trace_that_it_was_sent_in(backend: Backend) -> None:
    with copying(SENDER):
        await backend.queue.send("traced")
    assert (await received(backend)).sender == SENDER
    with copying(TraceContext(SENDER.parent)):
        await backend.queue.send("without a state")
    assert (await received(backend)).sender == TraceContext(SENDER.parent)


async def test_a_message_that_nobody_follows_comes_without(backend: Backend) -> None:
    await backend.queue.send("as ever")
    assert (await received(backend)).sender is None


async def test_the_largest_message_is_sent_without_its_trace(backend: Backend) -> None:
    with copying(SENDER):
        await backend.queue.send("x" * message.MAX_BODY_BYTES)
    assert (await received(backend)).sender is None


async def test_a_dead_letter_that_thumbq_sends_keeps_the_trace(backend: Backend) -> None:
    assert backend.dead_letters is not None
    with copying(SENDER):
        await backend.dead_letters.send("buried", NOTE)
    found = await dead_letter(backend.dead_letters)
    assert (found.body, found.note, found.sender, found.moved) == ("buried", NOTE, SENDER, False)


async def test_a_message_that_the_queue_moves_keeps_the_trace(backend: Backend) -> None:
    assert backend.dead_letters is not None
    attributes = await backend.queue.attributes()
    assert attributes.max_receive_count is not None
    with copying(SENDER):
        await backend.queue.send("moved")
    with within(20):
        for _ in range(attributes.max_receive_count):
            while not await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=0):
                pass
        letters: list[DeadLetter] = []
        while not letters:
            await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=0)
            letters += await backend.dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    assert [(letter.body, letter.sender) for letter in letters] == [("moved", SENDER)]

"""Sends at the same moment: one request, and each has its own end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from support.backends import open_aws
from support.doubles.tracing import SENDER
from support.patience import within
from support.servers.scripted import Script, hangs_up, says, sqs_error, stalls
from thumbq.core import tracecontext
from thumbq.core.tracecontext import TraceContext
from thumbq.errors import BackendUnavailable, BadAnswer, NotSent, SendRefused
from thumbq.ports.tracing import copying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.servers.scripted import Answer
    from thumbq.aws.jobqueue import SqsQueue

SENT = says(200, {"MessageId": "m", "MD5OfMessageBody": "x"})
THROTTLED = sqs_error(400, "RequestThrottled")


@pytest.fixture(autouse=True)
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


async def takes_all(request: web.Request) -> web.StreamResponse:
    """Take a batch, and give each message its body as its id."""
    entries = json.loads(await request.read())["Entries"]
    sent = [{"Id": e["Id"], "MessageId": e["MessageBody"], "MD5OfMessageBody": "x"} for e in reversed(entries)]
    return web.json_response({"Successful": sent, "Failed": []})


def fails(code: str, *, sender_fault: bool) -> dict[str, Any]:
    return {"Id": "1", "Code": code, "SenderFault": sender_fault, "Message": "no"}


def takes_but(*failed: dict[str, Any]) -> Any:
    """Take the first and the last of three, and say this of the second."""
    sent = [{"Id": place, "MessageId": f"m{place}", "MD5OfMessageBody": "x"} for place in ("0", "2")]
    return says(200, {"Successful": sent, "Failed": list(failed)})


async def sent(queue: SqsQueue, *bodies: str, group: str | None = None) -> Sequence[str | BaseException]:
    return await asyncio.gather(*(queue.send(body, group=group) for body in bodies), return_exceptions=True)


def bodies(script: Script) -> list[list[str]]:
    return [[entry["MessageBody"] for entry in asked["Entries"]] for asked in script.documents]


async def test_sends_of_one_moment_are_one_request_and_each_gets_its_own_id(script: Script, queue: SqsQueue) -> None:
    script.when("SendMessageBatch", takes_all)
    assert await sent(queue, "a", "b", "c") == ["a", "b", "c"]
    assert bodies(script) == [["a", "b", "c"]]


async def test_one_alone_waits_for_no_other_and_is_no_batch(script: Script, queue: SqsQueue) -> None:
    answered = anyio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        await answered.wait()
        return web.json_response({"MessageId": "late", "MD5OfMessageBody": "x"})

    script.then(late, SENT)
    first = asyncio.ensure_future(queue.send("a"))
    await script.asked(1)
    assert await queue.send("b") == "m"
    answered.set()
    assert await first == "late"
    assert script.operations == ["SendMessage", "SendMessage"]


async def test_a_batch_has_ten_messages_and_256_kib_at_most(script: Script, queue: SqsQueue) -> None:
    script.when("SendMessageBatch", takes_all)
    script.when("SendMessage", SENT)
    numbers = [str(number) for number in range(23)]
    assert await sent(queue, *numbers) == numbers
    assert bodies(script) == [numbers[:10], numbers[10:20], numbers[20:]]
    script.requests.clear()
    half = "\U0001f004" * ((1 << 15) - 1)
    await sent(queue, half, "x" * (1 << 19), half, "a", "b")
    assert sorted(script.operations) == ["SendMessage", "SendMessage", "SendMessageBatch"]
    assert max(len(body) for operation, body in script.requests if operation == "SendMessageBatch") < 1 << 19


async def test_messages_of_a_fifo_queue_keep_their_order_and_are_messages_of_their_own(
    script: Script, fifo_queue: SqsQueue
) -> None:
    script.then(says(500), takes_all)
    assert await sent(fifo_queue, "a", "a", "b", group="album") == ["a", "a", "b"]
    first, again = script.documents
    assert first == again
    assert [(entry["MessageBody"], entry["MessageGroupId"]) for entry in again["Entries"]] == [
        ("a", "album"),
        ("a", "album"),
        ("b", "album"),
    ]
    assert len({entry["MessageDeduplicationId"] for entry in again["Entries"]}) == 3


@pytest.mark.parametrize(
    ("failed", "error"),
    [
        ([fails("InvalidMessageContents", sender_fault=True)], SendRefused),
        ([fails("KmsAccessDenied", sender_fault=True)], SendRefused),
        ([fails("RequestThrottled", sender_fault=True)], NotSent),
        ([fails("InternalError", sender_fault=False)], BackendUnavailable),
        ([], BadAnswer),
    ],
)
async def test_what_becomes_of_one_message_is_its_senders_only(
    script: Script, queue: SqsQueue, failed: list[dict[str, Any]], error: type[Exception]
) -> None:
    script.then(takes_but(*failed))
    first, second, third = await sent(queue, "a", "b", "c")
    assert (first, type(second), third) == ("m0", error, "m2")


async def test_one_that_is_refused_after_a_lost_answer_may_be_in_the_queue(script: Script, queue: SqsQueue) -> None:
    script.then(hangs_up, takes_but(fails("InvalidMessageContents", sender_fault=True)))
    first, second, third = await sent(queue, "a", "b", "c")
    assert (first, type(second), third) == ("m0", BackendUnavailable, "m2")


async def test_of_a_batch_that_is_refused_each_message_is_sent_alone(script: Script, queue: SqsQueue) -> None:
    script.then(sqs_error(400, "BatchRequestTooLong"), SENT, sqs_error(400, "InvalidMessageContents"), SENT)
    first, second, third = await sent(queue, "a", "b", "c")
    assert (first, type(second), third) == ("m", SendRefused, "m")
    assert script.operations == ["SendMessageBatch", *["SendMessage"] * 3]


async def test_a_server_without_batches_is_asked_for_one_once(script: Script, queue: SqsQueue) -> None:
    script.when("SendMessage", SENT)
    script.then(sqs_error(400, "UnknownOperationException"))
    assert await sent(queue, "a", "b") == ["m", "m"]
    assert await sent(queue, "c", "d") == ["m", "m"]
    assert script.operations == ["SendMessageBatch", *["SendMessage"] * 4]


@pytest.mark.parametrize(
    ("answer", "error"), [(hangs_up, BackendUnavailable), (says(500), BackendUnavailable), (THROTTLED, NotSent)]
)
async def test_an_outage_is_one_for_each_and_nothing_is_sent_again(
    script: Script, queue: SqsQueue, answer: Answer, error: type[Exception]
) -> None:
    script.when("SendMessageBatch", answer)
    one, other = await sent(queue, "a", "b")
    assert (type(one), type(other)) == (error, error)
    assert one is not other
    assert script.operations == ["SendMessageBatch"] * 3


async def test_a_bug_reaches_every_sender(queue: SqsQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    async def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("thumbq.aws.requests.send_batch", bug)
    assert [type(error) for error in await sent(queue, "a", "b")] == [ZeroDivisionError, ZeroDivisionError]


async def test_a_sender_that_leaves_takes_no_other_along(script: Script, queue: SqsQueue) -> None:
    left = anyio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await left.wait()
        return await takes_all(request)

    script.then(late)
    leaving, staying = (asyncio.ensure_future(queue.send(body)) for body in "ab")
    await script.asked(1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    left.set()
    assert await staying == "b"


async def test_one_that_has_left_before_its_turn_is_not_sent(script: Script, queue: SqsQueue) -> None:
    script.then(SENT)
    leaving, staying = (asyncio.ensure_future(queue.send(body)) for body in "ab")
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "m"
    assert [asked["MessageBody"] for asked in script.documents] == ["b"]


async def test_a_request_ends_with_the_last_of_its_senders(script: Script, queue: SqsQueue) -> None:
    script.when("SendMessageBatch", stalls)
    before = asyncio.all_tasks()
    senders = [asyncio.ensure_future(queue.send(body)) for body in "ab"]
    await script.asked(1)
    for sender in senders:
        sender.cancel()
    await asyncio.wait(senders)
    with within(5):
        while any("MessageSender" in repr(task) for task in asyncio.all_tasks() - before):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_messages_that_go_together_have_their_own_traces(script: Script, queue: SqsQueue) -> None:
    script.when("SendMessageBatch", takes_all)

    async def send(body: str, trace: TraceContext | None) -> None:
        with copying(trace):
            await queue.send(body)

    other = TraceContext(SENDER.parent.replace("8", "9"))
    await asyncio.gather(send("a", SENDER), send("b", None), send("c", other))
    [asked] = script.documents
    a, b, c = asked["Entries"]
    assert tracecontext.of_message(a["MessageAttributes"]) == SENDER
    assert tracecontext.of_message(c["MessageAttributes"]) == other
    assert a["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"] == SENDER.xray
    assert b.keys() == {"Id", "MessageBody"}


async def test_a_message_is_sent_without_its_trace_where_the_queue_has_no_room_for_both(
    script: Script,
) -> None:
    script.when("HEAD /bucket-of-tests", says(200))
    script.then(
        says(200, {"QueueUrl": "https://sqs.example/1/q"}),
        says(200, {"Attributes": {"QueueArn": "arn:aws:sqs:x:1:q", "MaximumMessageSize": "1024"}}),
        *(SENT, SENT),
    )
    async with open_aws(bucket="bucket-of-tests", queue="q") as backend:
        with copying(SENDER):
            await backend.queue.send("x" * (1024 - SENDER.size))
            await backend.queue.send("x" * (1025 - SENDER.size))
    fits, fills = (json.loads(body) for operation, body in script.requests if operation == "SendMessage")
    assert tracecontext.of_message(fits["MessageAttributes"]) == SENDER
    assert fills.keys() == {"QueueUrl", "MessageBody"}

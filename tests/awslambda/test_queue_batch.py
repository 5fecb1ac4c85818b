"""What one queue's share of an invocation does with dispositions, whatever the jobs come to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

import anyio
import structlog

from support.doubles.tracing import SENDER, TRACE_ID, attributes, links, trace_id, traced
from thumbq.aws_lambda.event import records
from thumbq.aws_lambda.queuebatch import QueueBatch, Times
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import AccessDenied, BackendUnavailable
from thumbq.jobs.burial import Burial
from thumbq.jobs.delivery import Delivery
from thumbq.jobs.groups import GroupPosition
from thumbq.ports import ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.jobs.stopping import StopRequest
    from thumbq.ports import VisibilityChange


class Told:
    """Stands for a queue, its dead letters and its handler: each message's body says what comes of it."""

    def __init__(self, comes_of: Mapping[str, object], *, fails: Exception | None = None) -> None:
        self.changes: list[Sequence[VisibilityChange]] = []
        self.buried: list[str] = []
        self.max_bytes = 1 << 20
        self._comes_of = comes_of
        self._fails = fails

    def deliveries(self, messages: Sequence[ReceivedMessage], stop: StopRequest) -> list[Delivery]:
        return [Delivery(message, False, GroupPosition(), stop) for message in messages]  # noqa: FBT003 - a value

    async def handle(self, delivery: Delivery) -> Any:
        comes = self._comes_of[delivery.message.body]
        if isinstance(comes, Exception):
            raise comes
        return comes

    async def unfinished(self, _: Delivery, why: str) -> Release:
        assert "time ended" in why
        return Release()

    async def send(self, body: str, _note: str, *, group: str | None = None) -> None:
        del group
        if self._fails is not None:
            raise self._fails
        self.buried.append(body)

    async def extend(self, changes: Sequence[VisibilityChange]) -> None:
        self.changes.append(changes)
        if self._fails is not None:
            raise self._fails

    def batch(self, *, dead_letters: bool = True) -> QueueBatch:
        told = cast("Any", self)
        return QueueBatch(
            name="photo-jobs",
            queue=told,
            handler=told,
            burial=Burial(told if dead_letters else None, told, random=random.Random(1)),
            places=anyio.Semaphore(4),
        )


def received(*bodies: str) -> list[ReceivedMessage]:
    return [ReceivedMessage(f"id-{body}", f"receipt-{body}", body, 1, 0.0) for body in bodies]


async def test_what_comes_again_is_hidden_for_its_delay_in_batches_of_ten() -> None:
    bodies = [f"later-{number}" for number in range(11)]
    told = Told({"done": Delete()} | {body: Release(2.2) for body in bodies})
    again = await told.batch().handle(received("done", *bodies), Times.within(60))
    assert again == [f"id-{body}" for body in bodies]
    assert sorted(map(len, told.changes)) == [1, 10]
    assert {change.timeout_s for batch in told.changes for change in batch} == {3}


async def test_a_function_that_may_not_change_visibilities_says_so_once() -> None:
    told = Told({"later": Release()}, fails=AccessDenied("no"))
    batch = told.batch()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert await batch.handle(received("later"), Times.within(60)) == ["id-later"]
    assert [line["event"] for line in logs] == ["release.denied"]
    assert len(told.changes) == 2


async def test_a_message_that_cannot_be_buried_comes_again() -> None:
    told = Told({"bad": Bury("corrupt", "cut off")}, fails=BackendUnavailable("throttled"))
    assert await told.batch().handle(received("bad"), Times.within(60)) == ["id-bad"]


async def test_without_dead_letters_a_permanent_failure_is_off_the_queue_with_its_manifest() -> None:
    told = Told({"bad": Bury("corrupt", "cut off")})
    assert await told.batch(dead_letters=False).handle(received("bad"), Times.within(60)) == []
    assert told.buried == []


async def test_a_bug_costs_its_own_message_only() -> None:
    told = Told({"bug": ZeroDivisionError(), "done": Delete(), "bad": Bury("corrupt", "cut off")})
    with structlog.testing.capture_logs() as logs:
        assert await told.batch().handle(received("bug", "done", "bad"), Times.within(60)) == ["id-bug"]
    assert {line["event"] for line in logs} == {"message.bug", "message.buried"}
    assert told.buried == ["bad"]


async def test_without_time_nothing_starts_and_all_comes_again() -> None:
    told = Told({"done": ZeroDivisionError()})
    with structlog.testing.capture_logs() as logs:
        assert await told.batch().handle(received("done"), Times.within(0)) == ["id-done"]
    assert [line["event"] for line in logs] == ["message.out_of_time"]


def record(**attributes: Any) -> dict[str, Any]:
    """Return a message as an SQS trigger hands it over."""
    return {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": "done",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:photo-jobs",
    }


async def test_a_message_is_processed_in_the_trace_that_the_trigger_hands_over() -> None:
    named = {name: {"stringValue": value, "dataType": "String"} for name, value in SENDER.values.items()}
    found = records({"Records": [record(**named, other={"binaryValue": "AA==", "dataType": "Binary"}), record()]})
    messages = [each.message for each in found]
    assert [message.sender for message in messages] == [SENDER, None]
    with traced(system="aws_sqs") as (_, spans):
        await Told({"done": Delete()}).batch().handle(messages[:1], Times.within(60))
    span = spans.one("process photo-jobs")
    assert (trace_id(span), links(span)) == (TRACE_ID, [SENDER.ids[:2]])
    assert attributes(span)["thumbq.disposition"] == "delete"

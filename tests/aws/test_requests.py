"""What goes over the wire, and what is made of answers that are late, lost or odd."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from typing import TYPE_CHECKING

import anyio
import pytest
from aiohttp.http_writer import StreamWriter

from support.patience import within
from support.servers.scripted import Script, cuts_the_body, hangs_up, s3_error, says, sqs_error, stalls
from thumbq.aws import requests
from thumbq.aws.addresses import QueueAddress
from thumbq.aws.jobqueue import SqsQueue
from thumbq.aws.session import open_clients
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendUnavailable, NotSent, ObjectExists, ObjectTooLarge, SendRefused
from thumbq.ports import EntryResult, VisibilityChange

if TYPE_CHECKING:
    from aiohttp import web

    from support.servers.scripted import Answer
    from thumbq.aws.store import S3Store

REF = ObjectRef("bucket-of-tests", "uploads/a")
MIB = 1 << 20
OK, LOST, CAPPED, RETRY = EntryResult.OK, EntryResult.LOST, EntryResult.CAPPED, EntryResult.RETRY
STORED = says(200, ETag='"e"')
SENT = says(200, {"MessageId": "m", "MD5OfMessageBody": "x"})


class Gathered(bytearray):
    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self.extend(data)


@pytest.mark.parametrize("trouble", [says(500), says(503), hangs_up, sqs_error(400, "ThrottlingException")])
async def test_a_receive_is_sent_once_whatever_happens(script: Script, queue: SqsQueue, trouble: object) -> None:
    script.then(trouble)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable):
        await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
    assert script.operations == ["ReceiveMessage"]


async def test_a_receive_asks_for_what_the_port_promises(script: Script, queue: SqsQueue) -> None:
    message = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "cat.png",
        "Attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1700000000123",
            "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
            "MessageGroupId": "album-7",
        },
    }
    script.then(says(200, {"Messages": [message]}))
    [received] = await queue.receive(max_messages=7, wait_s=1, visibility_timeout_s=4)
    asked = script.documents[0]
    assert (asked["MaxNumberOfMessages"], asked["WaitTimeSeconds"], asked["VisibilityTimeout"]) == (7, 1, 4)
    assert (received.id, received.receipt, received.body) == ("m", "r", "cat.png")
    assert (received.receive_count, received.sent_at) == (3, 1_700_000_000.123)
    assert received.trace == "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert received.group == "album-7"
    assert set(asked["MessageSystemAttributeNames"]) == set(message["Attributes"])


async def test_a_send_to_a_fifo_queue_is_one_message_however_often_it_is_sent_and_two_sends_are_two(
    script: Script, fifo_queue: SqsQueue
) -> None:
    script.then(says(500), SENT, SENT)
    await fifo_queue.send("cat.png", group="album-7")
    await fifo_queue.send("cat.png", group="album-7")
    assert {asked["MessageGroupId"] for asked in script.documents} == {"album-7"}
    first, again, second = (asked["MessageDeduplicationId"] for asked in script.documents)
    assert first == again != second


async def test_a_send_to_a_fifo_queue_without_a_group_is_refused_unasked(script: Script, fifo_queue: SqsQueue) -> None:
    with pytest.raises(SendRefused, match=r"q\.fifo is a FIFO queue: a message needs a group"):
        await fifo_queue.send("cat.png")
    assert not script.requests


async def test_on_a_standard_queue_a_group_is_a_tenant_and_nothing_is_dropped_as_a_duplicate(
    script: Script, queue: SqsQueue
) -> None:
    script.then(SENT, SENT)
    await queue.send("cat.png", group="tenant-7")
    await queue.send("cat.png")
    with_tenant, without = script.documents
    assert with_tenant["MessageGroupId"] == "tenant-7"
    assert "MessageGroupId" not in without
    assert not any("MessageDeduplicationId" in asked for asked in script.documents)


async def test_an_open_poll_brings_its_messages_after_a_stop_and_later_ones_are_not_sent(
    script: Script, queue: SqsQueue
) -> None:
    released = asyncio.Event()

    async def polls(request: web.Request) -> web.StreamResponse:
        await released.wait()
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1"}
        message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "Attributes": attributes}
        return await says(200, {"Messages": [message]})(request)

    script.then(polls)
    async with asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=4))
        await script.asked(1)
        queue.stop_receiving()
        assert await queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=4) == []
        released.set()
    assert len(poll.result()) == 1
    assert len(script.requests) == 1


async def test_a_stalled_server_holds_up_a_beat_for_a_bounded_time_only(
    script: Script, queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_ANSWER_S", 0.2)
    script.then(stalls)
    with within(2), pytest.raises(BackendUnavailable, match="TimeoutError"):
        await queue.extend([VisibilityChange("r", 30)])


async def test_a_beat_does_not_queue_behind_long_polls(script: Script, queue: SqsQueue) -> None:
    script.then(stalls, stalls, stalls, stalls, says(200, {"Successful": [{"Id": "0"}], "Failed": []}))
    async with anyio.create_task_group() as tasks:
        for _ in range(4):  # as many as the client has connections
            tasks.start_soon(lambda: queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=4))
        await script.asked(4)
        with within(2):
            assert await queue.extend([VisibilityChange("r", 30)]) == [OK]
        tasks.cancel_scope.cancel()


async def test_each_entry_of_a_batch_has_its_own_result(script: Script, queue: SqsQueue) -> None:
    failed = [
        {"Id": "3", "Code": "InternalError", "SenderFault": False},
        {"Id": "1", "Code": "ReceiptHandleIsInvalid", "SenderFault": True, "Message": "no"},
    ]
    script.then(says(200, {"Successful": [{"Id": "2"}], "Failed": failed}))
    changes = [VisibilityChange("same", 30)] * 4
    assert await queue.extend(changes) == [RETRY, LOST, OK, RETRY]
    assert [entry["Id"] for entry in script.documents[0]["Entries"]] == ["0", "1", "2", "3"]


async def test_an_empty_batch_asks_nothing(script: Script, queue: SqsQueue) -> None:
    assert await queue.extend([]) == []
    assert await queue.delete([]) == []
    assert not script.requests


async def test_more_than_12_hours_are_not_sent(script: Script, queue: SqsQueue) -> None:
    script.then(says(200, {"Successful": [{"Id": "0"}], "Failed": []}))
    assert await queue.extend([VisibilityChange("a", 43_201), VisibilityChange("b", 43_200)]) == [CAPPED, OK]
    [entry] = script.documents[0]["Entries"]
    assert entry["ReceiptHandle"] == "b"


async def test_one_bad_entry_that_sinks_the_batch_costs_the_others_nothing(script: Script, queue: SqsQueue) -> None:
    # The header gives the modelled class, __type another name.
    bad = sqs_error(400, "Other", x_amzn_query_error="ReceiptHandleIsInvalid;Sender")
    script.then(bad, says(200, {"Successful": [{"Id": "0"}]}), bad)
    assert await queue.delete(["good", "bad"]) == [OK, LOST]


async def test_a_denied_batch_is_no_lost_lease(script: Script, queue: SqsQueue) -> None:
    script.then(sqs_error(403, "AccessDeniedException"))
    with pytest.raises(AccessDenied):
        await queue.extend([VisibilityChange("r", 30)])


async def test_a_send_is_tried_again_after_a_fault(script: Script, queue: SqsQueue) -> None:
    script.then(hangs_up, SENT)
    assert await queue.send("cat.png") == "m"


async def test_a_send_that_is_refused_at_once_is_certainly_not_in_the_queue(script: Script, queue: SqsQueue) -> None:
    script.then(sqs_error(400, "InvalidMessageContents"))
    with pytest.raises(SendRefused):
        await queue.send("cat.png")
    assert len(script.requests) == 1


async def test_a_send_that_is_refused_after_a_lost_answer_may_be_in_the_queue(script: Script, queue: SqsQueue) -> None:
    script.then(hangs_up, sqs_error(400, "AccessDenied"))
    with pytest.raises(BackendUnavailable):
        await queue.send("cat.png")


THROTTLED = sqs_error(400, "RequestThrottled")


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.usefixtures("retries_at_once")
async def test_a_send_of_which_all_tries_were_throttled_is_certainly_not_in_the_queue(
    script: Script, queue: SqsQueue
) -> None:
    script.then(THROTTLED, THROTTLED, sqs_error(403, "RequestThrottled"))
    with pytest.raises(NotSent):
        await queue.send("cat.png")
    assert len(script.requests) == 3


@pytest.mark.usefixtures("retries_at_once")
@pytest.mark.parametrize("lost", [hangs_up, says(500)])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_send_of_which_one_try_was_lost_may_be_in_the_queue(
    script: Script, queue: SqsQueue, lost: Answer, place: int
) -> None:
    answers: list[Answer] = [THROTTLED, THROTTLED, THROTTLED]
    answers[place] = lost
    script.then(*answers)
    with pytest.raises(BackendUnavailable):
        await queue.send("cat.png")
    assert len(script.requests) == 3


@pytest.mark.usefixtures("retries_at_once")
async def test_a_send_to_a_queue_that_is_not_reached_is_certainly_not_in_it(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", gone)
    async with open_clients(connections=4, wait_time_s=1) as clients:
        with pytest.raises(NotSent):
            await SqsQueue(clients.control, clients.polling, QueueAddress(f"{gone}/1/q", "arn", None)).send("cat.png")
    assert not script.requests


@pytest.mark.parametrize("body", ["", "bell \x07", "\ud800", "\uffff"])
async def test_what_sqs_never_takes_is_not_even_sent(script: Script, queue: SqsQueue, body: str) -> None:
    with pytest.raises(SendRefused):
        await queue.send(body)
    assert not script.requests


async def test_a_put_is_tried_again_after_a_fault(script: Script, store: S3Store) -> None:
    script.then(says(503), STORED)
    assert await store.put(REF, b"x", content_type="image/png") == "e"


async def test_a_large_body_arrives_whole_on_the_second_try_too(script: Script, store: S3Store) -> None:
    body = bytes(range(256)) * 8192
    script.then(says(500), STORED)
    await store.put(REF, body, content_type="image/png")
    assert [len(raw) for _, raw in script.requests] == [len(body)] * 2


async def test_put_if_absent_tries_again_when_two_writers_met(script: Script, store: S3Store) -> None:
    script.then(s3_error(409, "ConditionalRequestConflict"), s3_error(412, "PreconditionFailed"), says(404))
    with pytest.raises(ObjectExists):
        await store.put(REF, b"x", content_type="image/png", if_absent=True)


async def test_put_if_absent_gives_up_after_a_few_conflicts(script: Script, store: S3Store) -> None:
    script.then(*[s3_error(409, "ConditionalRequestConflict")] * 4)
    with pytest.raises(BackendUnavailable, match="other writers"):
        await store.put(REF, b"x", content_type="image/png", if_absent=True)


async def test_put_if_absent_knows_its_own_object_after_a_lost_answer(script: Script, store: S3Store) -> None:
    stored: dict[str, str] = {}

    async def stores_and_hangs_up(request: web.Request) -> web.StreamResponse:
        stored.update({name: value for name, value in request.headers.items() if name.lower().startswith("x-amz-meta")})
        return await hangs_up(request)

    async def has_it(request: web.Request) -> web.StreamResponse:
        return await says(200, ETag='"e"', **stored)(request)

    script.then(stores_and_hangs_up, s3_error(412, "PreconditionFailed"), has_it)
    assert await store.put(REF, b"x", content_type="image/png", if_absent=True) == "e"


async def test_put_if_absent_knows_that_an_object_is_anothers(script: Script, store: S3Store) -> None:
    script.then(hangs_up, s3_error(412, "PreconditionFailed"), says(200, ETag='"e"'))
    with pytest.raises(ObjectExists):
        await store.put(REF, b"x", content_type="image/png", if_absent=True)


async def test_how_an_object_was_put_is_not_among_its_metadata(script: Script, store: S3Store) -> None:
    script.then(says(200, ETag='"e"', x_amz_meta_thumbq_put="mark", x_amz_meta_name="cat.png"))
    assert (await store.head(REF)).metadata == {"name": "cat.png"}


async def test_a_put_into_no_bucket_is_no_missing_object(script: Script, store: S3Store) -> None:
    script.then(s3_error(404, "NoSuchBucket"))
    with pytest.raises(BackendUnavailable, match="NoSuchBucket"):
        await store.put(REF, b"x", content_type="image/png")


async def test_a_body_cut_in_the_middle_is_no_object(script: Script, store: S3Store) -> None:
    script.then(cuts_the_body)
    with pytest.raises(BackendUnavailable):
        await store.get(REF, max_bytes=100)


async def test_bytes_that_do_not_match_their_checksum_are_no_object(script: Script, store: S3Store) -> None:
    script.then(says(200, b"x", ETag='"e"', x_amz_checksum_crc32="AAAAAA=="))
    with pytest.raises(BackendUnavailable):
        await store.get(REF, max_bytes=100)


async def test_an_object_that_is_too_large_is_not_read(script: Script, store: S3Store) -> None:
    script.then(says(200, b"x" * 1000, ETag='"e"'))
    sink = Gathered()
    with pytest.raises(ObjectTooLarge) as refusal:
        await store.fetch(REF, sink, max_bytes=999)
    assert not sink
    assert refusal.value.size == 1000


async def test_what_a_sink_raises_is_no_error_of_s3(script: Script, store: S3Store) -> None:
    class Full:
        def write(self, _: object, /) -> int:
            raise MemoryError

    script.then(says(200, b"x", ETag='"e"'))
    with pytest.raises(MemoryError):
        await store.fetch(REF, Full(), max_bytes=100)


async def test_an_answer_that_is_no_s3_is_an_outage(script: Script, store: S3Store) -> None:
    script.then(says(200, b"<html>please log in"))
    with pytest.raises(BackendUnavailable):
        await store.put(REF, b"x", content_type="image/png")


async def test_a_large_body_is_sent_again_from_the_bytes_that_there_are(
    script: Script, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = random.Random(1).randbytes(3 * MIB + 1)
    pieces: list[memoryview] = []
    write = StreamWriter.write

    async def seen(writer: StreamWriter, chunk: object, **options: object) -> None:
        if isinstance(chunk, memoryview) and chunk.obj is body:
            pieces.append(chunk)
        await write(writer, chunk, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(StreamWriter, "write", seen)
    script.then(says(500), hangs_up, STORED)
    await store.put(REF, body, content_type="image/jpeg")
    assert [received for _, received in script.requests] == [body] * 3
    assert sum(piece.nbytes for piece in pieces) == 3 * len(body)
    assert max(piece.nbytes for piece in pieces) <= MIB


async def test_a_connection_that_is_cut_before_the_body_costs_a_try_and_leaves_no_task_behind(
    script: Script, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context["message"]))
    real, cuts = StreamWriter.send_headers, [None]

    def cut_off(writer: StreamWriter) -> None:
        if cuts:
            cuts.pop()
            assert writer.transport is not None
            writer.transport.abort()
        real(writer)

    monkeypatch.setattr(StreamWriter, "send_headers", cut_off)
    script.then(STORED)
    await store.put(REF, b"x", content_type="image/png")
    assert (cuts, script.operations) == ([], ["PUT /bucket-of-tests/uploads/a"])
    gc.collect()
    await anyio.lowlevel.checkpoint()
    assert left == []

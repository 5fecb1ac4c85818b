"""`thumbq bench service` counts what goes over the wire: each request once, whoever sends it."""

from __future__ import annotations

import asyncio
import io
import os
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders

from support.doubles.observing import Observed
from support.doubles.tracing import attributes, traced
from support.servers.emulators import aws_env
from support.servers.scripted import Script, hangs_up, s3_error, says, serving
from thumbq.aws.httpsession import HttpSession
from thumbq.bench.requestcounts import RequestCounts
from thumbq.cli.measured import counted
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, BackendUnavailable, ObjectMissing
from thumbq.ports.observing import Called, observed_by
from thumbq.ports.tracing import Handling, during

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from thumbq.aws.jobqueue import SqsQueue
    from thumbq.aws.store import S3Store


REF = ObjectRef("bucket-of-tests", "uploads/a")
STORED = says(200, ETag='"e"')
FOUND = says(200, b"the bytes", ETag='"e"')


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[RequestCounts]:
    """Return the view of another process: the same memory, mapped a second time."""
    descriptor = os.memfd_create("counts")
    with closing(os.fdopen(descriptor, "wb")):
        os.ftruncate(descriptor, RequestCounts.size())
        monkeypatch.setattr(HttpSession, "request_class", counted(RequestCounts(descriptor)))
        yield RequestCounts(descriptor)


@pytest.fixture
async def script(counts: RequestCounts) -> AsyncIterator[Script]:
    """Point clients at a Script whose requests are counted here, too."""
    del counts
    script = Script()
    async with serving(script) as url:
        with aws_env(url):
            yield script


def on_the_wire(script: Script) -> dict[str, dict[str, int]]:
    """Return what the server was asked, in the words of the counts."""
    s3 = Counter(operation.partition(" ")[0] for operation in script.operations if " " in operation)
    sqs = Counter(operation for operation in script.operations if " " not in operation)
    return {"s3": dict(s3), "sqs": dict(sqs)}


def what_is_counted(counts: RequestCounts) -> dict[str, dict[str, int]]:
    return {
        service: {name: number for name, number in numbers.items() if number}
        for service, numbers in counts.read().items()
    }


async def test_both_ways_to_s3_and_each_try_are_counted_once(
    script: Script, store: S3Store, counts: RequestCounts
) -> None:
    script.then(STORED, STORED, s3_error(503, "SlowDown"), hangs_up, STORED)
    for _ in range(3):  # aiobotocore's, the fast path's, and one that fails there and once more before it is taken
        await store.put(REF, b"the bytes", content_type="image/png")
    script.then(FOUND, FOUND, s3_error(404, "NoSuchKey"))
    for _ in range(2):
        await store.get(REF, max_bytes=100)
    with pytest.raises(ObjectMissing):
        await store.get(REF, max_bytes=100)
    script.then(says(204), says(204))
    for _ in range(2):
        await store.delete(REF)
    assert what_is_counted(counts) == on_the_wire(script)
    assert what_is_counted(counts)["s3"] == {"PUT": 5, "GET": 3, "DELETE": 2}


async def test_requests_to_sqs_are_counted_by_their_actions(
    script: Script, queue: SqsQueue, counts: RequestCounts
) -> None:
    script.then(says(200, {}), says(500), says(200, {"Successful": [{"Id": "0"}], "Failed": []}))
    await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
    with pytest.raises(BackendUnavailable):
        await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
    await queue.delete(["r"])
    assert what_is_counted(counts) == on_the_wire(script)
    assert what_is_counted(counts)["sqs"] == {"ReceiveMessage": 2, "DeleteMessageBatch": 1}


async def test_spans_of_s3_have_awss_ids_of_the_request_on_both_ways(script: Script, store: S3Store) -> None:
    ids = [{"x_amz_request_id": f"request-{number}", "x_amz_id_2": f"host-{number}"} for number in range(3)]
    script.then(*(says(200, ETag='"e"', **of_one) for of_one in ids))
    with traced() as (_, spans), during(Handling("", "m-1", 1, None)):
        for _ in ids:  # the first goes by botocore
            await store.put(REF, b"the bytes", content_type="image/png")
    said = [attributes(span) for span in spans.named("S3.PutObject")]
    assert [(each["aws.request_id"], each["aws.extended_request_id"]) for each in said] == [
        (f"request-{number}", f"host-{number}") for number in range(3)
    ]


async def test_observers_are_told_of_each_request_that_goes_over_the_wire_and_of_its_answer(
    script: Script, store: S3Store, queue: SqsQueue
) -> None:
    observed = Observed()
    sent = {"Successful": [{"Id": "0", "MessageId": "a"}, {"Id": "1", "MessageId": "b"}]}
    script.then(STORED, STORED, s3_error(503, "SlowDown"), STORED, says(200, sent), hangs_up)
    with observed_by([observed]):
        for _ in range(3):
            await store.put(REF, b"the bytes", content_type="image/png")
        # They go as one request, in a task that is neither sender's.
        await asyncio.gather(queue.send("one"), queue.send("two"))
        with pytest.raises(BackendError):
            await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=4)
    calls = [each for each in observed.happened if isinstance(each, Called)]
    assert [(call.service, call.call) for call in calls] == [
        *[("s3", "PUT")] * 4,
        ("sqs", "SendMessageBatch"),
        ("sqs", "ReceiveMessage"),
    ]
    assert [call.status for call in calls] == [200, 200, 503, 200, 200, None]


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("scope", "headers", "body", "told"),
    [
        ("s3", {"Content-Type": "image/png"}, b"Action=x&", ("s3", "PUT")),
        # Directory buckets, and Object Lambda: a body may be a stream, too.
        ("s3express", {"Content-Type": "image/png"}, b"Action=x&", ("s3express", "PUT")),
        ("s3-object-lambda", {}, io.BytesIO(b"the bytes"), ("s3-object-lambda", "PUT")),
        ("sqs", {"X-Amz-Target": "AmazonSQS.SendMessage"}, b"{}", ("sqs", "SendMessage")),
        ("sns", FORM, b"Action=PublishBatch&Version=1", ("sns", "PublishBatch")),
        (None, FORM, b"Action=AssumeRoleWithWebIdentity&Version=1", ("unsigned", "AssumeRoleWithWebIdentity")),
        (None, {}, None, ("unsigned", "PUT")),
    ],
)
async def test_what_a_request_asks_is_never_what_an_object_holds(
    monkeypatch: pytest.MonkeyPatch, scope: str | None, headers: dict[str, str], body: Any, told: tuple[str, str]
) -> None:
    monkeypatch.setattr(AIOHTTPSession, "send", AsyncMock(return_value=Mock(status_code=200, headers={})))
    signed = {} if scope is None else {"Authorization": f"AWS4-HMAC-SHA256 Credential=a/1/x/{scope}/aws4_request"}
    observed = Observed()
    with observed_by([observed]):
        request = AWSPreparedRequest(
            method="PUT",
            url="https://x.example/k",
            headers=HTTPHeaders.from_dict(signed | headers),
            body=body,
            stream_output=False,
        )
        await HttpSession().send(request)
    assert observed.happened == [Called(*told, 200, {})]


def test_what_has_no_place_of_its_own_is_counted_too(counts: RequestCounts) -> None:
    counts.add("PATCH", None)
    counts.add("POST", "AmazonSQS.ListQueues")
    assert what_is_counted(counts) == {"s3": {"other": 1}, "sqs": {"other": 1}}

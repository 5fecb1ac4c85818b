"""Whatever a server answers, it is an answer that means something or an error of that one request."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from support.servers.scripted import s3_error, says
from thumbq.aws import session
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, BackendRefused, BadAnswer
from thumbq.ports import EntryResult, VisibilityChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.servers.scripted import Answer, Script
    from thumbq.aws.deadletters import SqsDeadLetters
    from thumbq.aws.jobqueue import SqsQueue
    from thumbq.aws.store import S3Store

REF = ObjectRef("bucket-of-tests", "k")
MESSAGE = {"MessageId": "m", "ReceiptHandle": "r", "Body": "b"}

STATUSES = (200, 204, 301, 400, 403, 404, 409, 412, 501)
BODIES: list[bytes | dict[str, Any]] = [
    b"",
    b"<html>",
    b"<html></html>",
    b"[]",
    b"null",
    b"7",
    b"{}",
    b"\xff\xfe",
    b"{" * 5000,
    b"<ListBucketResult><Contents/></ListBucketResult>",
    b"<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
    b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    b"<Error/>",
    {"__type": 7},
    {"message": {}},
    {"Messages": 7},
    {"Messages": [7]},
    {"Messages": [{}]},
    {"Messages": [{**MESSAGE, "Attributes": 7}]},
    {"Messages": [{**MESSAGE, "Attributes": {"SentTimestamp": "x"}}]},
    {"Messages": [{**MESSAGE, "Body": 7}]},
    {"Successful": [{}], "Failed": [{}]},
    {"Successful": [{"Id": "99"}], "Failed": [{"Id": "x"}]},
    {"Messages": [None]},
    {"Messages": [{**MESSAGE, "Attributes": {"SentTimestamp": [], "ApproximateReceiveCount": "9" * 400}}]},
    {"Messages": [{**MESSAGE, "MessageAttributes": {"thumbq": None}}]},
    {"Successful": [None], "Failed": [None]},
    {"Successful": [{"Id": []}], "Failed": [{"Id": "0", "Code": 5, "Message": []}]},
    {"Attributes": []},
    {"Attributes": {"VisibilityTimeout": "x", "MessageRetentionPeriod": "", "ApproximateNumberOfMessages": None}},
    {"Attributes": {"RedrivePolicy": '{"maxReceiveCount": null, "deadLetterTargetArn": 7}'}},
    {"Results": [None, {"StartedTimestamp": "x"}]},
    {"Attributes": {"RedrivePolicy": "{"}},
]


@pytest.fixture(autouse=True)
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no request sent again: the same nonsense would come."""
    monkeypatch.setattr(session, "_config", partial(session._config, attempts=1))


@pytest.fixture
def asks(store: S3Store, queue: SqsQueue, dead_letters: SqsDeadLetters) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "put": lambda: store.put(REF, b"x", content_type="image/png"),
        "get": lambda: store.get(REF, max_bytes=10_000),
        "head": lambda: store.head(REF),
        "remove": lambda: store.delete(REF),
        "list": lambda: store.list(REF.bucket, prefix=""),
        "send": lambda: queue.send("x"),
        "receive": lambda: queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=1),
        "extend": lambda: queue.extend([VisibilityChange("r", 1)]),
        "delete": lambda: queue.delete(["r"]),
        "settings": queue.attributes,
        "counts": queue.counts,
        "letters": lambda: dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=1),
        "move": lambda: dead_letters.start_move(rate=None),
    }


@pytest.mark.parametrize(
    "operation",
    [
        *("put", "get", "head", "remove", "list"),
        *("send", "receive", "extend", "delete", "settings", "counts", "letters", "move"),
    ],
)
@pytest.mark.parametrize(
    "answers",
    [
        # Every body with 200, and each status with a few of them, other ones for each.
        [(status, body) for at, body in enumerate(BODIES) for status in {200, STATUSES[at % len(STATUSES)]}],
        pytest.param(list(product(STATUSES, BODIES)), marks=pytest.mark.long),
    ],
    ids=["short", "full"],
)
async def test_no_answer_is_more_than_an_error_of_its_request(
    script: Script,
    asks: dict[str, Callable[[], Awaitable[object]]],
    operation: str,
    answers: list[tuple[int, bytes | dict[str, Any]]],
) -> None:
    for status, body in answers:
        script.forget()
        script.then(*[says(status, body)] * 8)
        try:
            await asks[operation]()
        except BackendError:
            continue


@pytest.mark.parametrize("page", [b"<html>", b"<html></html>", b"<html><body>Log in</body></html>"])
async def test_a_page_of_html_is_no_answer(
    script: Script, asks: dict[str, Callable[[], Awaitable[object]]], page: bytes
) -> None:
    for operation in asks.keys() - {"remove", "move"}:
        script.forget()
        script.then(*[says(200, page, Content_Type="text/html")] * 8)
        with pytest.raises(BadAnswer):
            await asks[operation]()


async def test_a_body_that_does_not_say_where_it_ends_is_no_object(script: Script, store: S3Store) -> None:
    async def until_closed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"e"', "Connection": "close"})
        response.force_close()
        request.transport.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nConnection: close\r\n\r\nhalf a')  # type: ignore[union-attr]
        request.transport.close()  # type: ignore[union-attr]
        return response

    script.then(until_closed)
    with pytest.raises(BadAnswer, match="how long"):
        await store.get(REF, max_bytes=100)


async def test_attributes_are_asked_for_by_both_names(
    script: Script, queue: SqsQueue, dead_letters: SqsDeadLetters
) -> None:
    script.then(says(200, {}), says(200, {}))
    await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=1)
    await dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=1)
    for asked in script.documents:
        assert asked["AttributeNames"] == asked["MessageSystemAttributeNames"]
        assert "ApproximateReceiveCount" in asked["AttributeNames"]


async def test_a_message_without_attributes_counts_as_received_once(
    script: Script, queue: SqsQueue, dead_letters: SqsDeadLetters
) -> None:
    script.then(says(200, {"Messages": [MESSAGE]}), says(200, {"Messages": [MESSAGE]}))
    [received] = await queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=1)
    assert (received.receive_count, received.counted, received.sent_at) == (1, False, None)
    [letter] = await dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=1)
    assert (letter.receive_count, letter.sent_at, letter.moved) == (1, None, False)


async def test_a_message_that_lacks_something_costs_the_others_nothing(script: Script, queue: SqsQueue) -> None:
    lacking = [{name: value for name, value in MESSAGE.items() if name != missing} for missing in MESSAGE]
    script.then(
        says(200, {"Messages": [*lacking, None, {**MESSAGE, "Body": 7}, MESSAGE]}), says(200, {"Messages": lacking})
    )
    [received] = await queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)
    assert received.body == "b"
    with pytest.raises(BadAnswer, match="the answer has no"):
        await queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)


async def test_what_has_another_type_than_it_should_is_missing(script: Script, queue: SqsQueue) -> None:
    odd = {"SentTimestamp": "soon", "ApproximateReceiveCount": ["1"], "MessageGroupId": 7}
    script.then(
        says(200, {"Messages": [{**MESSAGE, "Attributes": odd}]}),
        says(200, {"Attributes": {"VisibilityTimeout": 7, "RedrivePolicy": '{"maxReceiveCount": "many"}'}}),
    )
    [received] = await queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)
    assert (received.sent_at, received.counted, received.group) == (None, False, None)
    settings = await queue.attributes()
    assert (settings.visibility_timeout_s, settings.max_receive_count) == (30, None)


@pytest.mark.parametrize("header", ["x-amz-checksum-sha256", "x-amz-missing-meta"])
async def test_a_header_that_cannot_be_read_is_no_answer(script: Script, store: S3Store, header: str) -> None:
    script.then(says(200, b"x", ETag='"e"', **{header: "x"}))
    with pytest.raises(BadAnswer):
        await store.get(REF, max_bytes=100)


async def test_an_entry_that_an_answer_leaves_out_is_tried_again(script: Script, queue: SqsQueue) -> None:
    script.then(says(200, {"Successful": [{"Id": "1"}, {"Id": "9"}, {}]}))
    assert await queue.delete(["a", "b"]) == [EntryResult.RETRY, EntryResult.OK]


async def test_a_redirect_to_no_region_is_one_question_and_a_refusal(script: Script, store: S3Store) -> None:
    async def redirects(request: web.Request) -> web.StreamResponse:
        redirect: Answer = says(301) if request.method == "HEAD" else s3_error(301, "PermanentRedirect")
        return await redirect(request)

    script.then(*[redirects] * 50)
    with pytest.raises(BackendRefused, match="PermanentRedirect"):
        await store.put(REF, b"x", content_type="image/png")
    assert script.operations == ["PUT /bucket-of-tests/k", "HEAD /bucket-of-tests"]

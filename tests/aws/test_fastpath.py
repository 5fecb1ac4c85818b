"""The fast path: what it repeats, what it leaves to aiobotocore, and when it is left alone."""

from __future__ import annotations

import asyncio
import base64
import zlib
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web

from support.patience import within
from support.servers.emulators import aws_env
from support.servers.scripted import Script, cuts_the_body, hangs_up, s3_error, says, serving, stalls_in_the_body
from thumbq.aws import session
from thumbq.aws.learnedways import LearnedWays
from thumbq.aws.objectbody import ObjectBody
from thumbq.aws.session import open_clients
from thumbq.aws.store import S3Store
from thumbq.core.job import ObjectRef
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendRefused,
    BackendUnavailable,
    BadAnswer,
    ObjectExists,
    ObjectMissing,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.servers.scripted import Answer

REF = ObjectRef("bucket-of-tests", "uploads/a b+é")
BODY = b"the bytes"
STORED = says(200, ETag='"e"')
FOUND = says(200, BODY, ETag='"e"', Content_Type="image/png", x_amz_meta_name="cat.png")
GONE = says(204)


async def put(store: S3Store) -> str:
    return await store.put(REF, BODY, content_type="image/png", metadata={"name": "cat.png"})


async def put_new(store: S3Store) -> str:
    return await store.put(REF, BODY, content_type="image/png", if_absent=True)


async def get(store: S3Store) -> object:
    return await store.get(REF, max_bytes=100)


async def head(store: S3Store) -> object:
    return await store.head(REF)


async def delete(store: S3Store) -> None:
    await store.delete(REF)


ALL = [(put, STORED), (put_new, STORED), (get, FOUND), (head, FOUND), (delete, GONE)]


def by_botocore(script: Script) -> list[bool]:
    return ["amz-sdk-invocation-id" in headers for headers in script.headers]


@pytest.mark.parametrize(("request_", "plain"), ALL)
async def test_what_aiobotocore_has_sent_is_sent_again_without_it(
    script: Script, store: S3Store, request_: Callable[[S3Store], Awaitable[object]], plain: Answer
) -> None:
    script.then(plain, plain, plain)
    assert await request_(store) == await request_(store) == await request_(store)
    assert by_botocore(script) == [True, False, False]
    first, second, _ = script.requests
    assert first == second
    theirs, ours, _ = script.headers
    of_the_sdk = {"amz-sdk-invocation-id", "amz-sdk-request", "expect"}
    assert {name.lower() for name in theirs} - of_the_sdk == {name.lower() for name in ours}
    changing = of_the_sdk | {"authorization", "x-amz-date", "x-amz-meta-thumbq-put"}
    assert {n.lower(): v for n, v in theirs.items() if n.lower() not in changing} == {
        n.lower(): v for n, v in ours.items() if n.lower() not in changing
    }


@pytest.mark.parametrize(
    ("request_", "plain", "odd"),
    [
        (get, FOUND, [s3_error(400, "AuthorizationHeaderMalformed")]),
        (get, FOUND, [says(301)]),
        (get, FOUND, [says(200, BODY, Content_Encoding="aws-chunked")]),
        (put, STORED, [says(200, b"<p>", Content_Type="text/html", ETag='"e"')]),
        (put_new, STORED, [s3_error(503, "SlowDown")]),
        *((request, plain, [s3_error(403, "AccessDenied")]) for request, plain in ALL),
        *((request, plain, [hangs_up, hangs_up]) for request, plain in ALL),  # aiohttp asks once more by itself
    ],
)
async def test_what_is_no_plain_answer_is_asked_again_by_aiobotocore(
    script: Script,
    store: S3Store,
    request_: Callable[[S3Store], Awaitable[object]],
    plain: Answer,
    odd: list[Answer],
) -> None:
    script.then(plain, *odd, plain)
    first = await request_(store)
    assert await request_(store) == first
    assert by_botocore(script) == [True, *[False] * len(odd), True]


async def test_aiobotocore_has_the_last_word_about_errors(script: Script, store: S3Store) -> None:
    denied = s3_error(403, "AccessDenied")
    script.then(FOUND, denied, denied)
    await get(store)
    with pytest.raises(AccessDenied):
        await get(store)


@pytest.mark.parametrize(
    ("request_", "plain", "odd", "error"),
    [
        (put, STORED, says(200), BadAnswer),
        (get, FOUND, says(200, BODY), BadAnswer),
        (head, FOUND, says(200), BadAnswer),
        (get, FOUND, s3_error(404, "NoSuchBucket"), BackendUnavailable),
    ],
)
async def test_an_answer_that_lacks_something_is_aiobotocores(
    *,
    script: Script,
    store: S3Store,
    request_: Callable[[S3Store], Awaitable[object]],
    plain: Answer,
    odd: Answer,
    error: type[BackendError],
) -> None:
    script.then(plain, odd, odd)
    await request_(store)
    with pytest.raises(error):
        await request_(store)
    assert by_botocore(script) == [True, False, True]


@pytest.mark.parametrize(
    ("request_", "plain", "no", "error"),
    [
        (get, FOUND, s3_error(404, "NoSuchKey"), ObjectMissing),
        (head, FOUND, says(404), ObjectMissing),
    ],
)
async def test_that_there_is_no_object_is_a_plain_answer(
    *,
    script: Script,
    store: S3Store,
    request_: Callable[[S3Store], Awaitable[object]],
    plain: Answer,
    no: Answer,
    error: type[BackendError],
) -> None:
    script.then(plain, no, no)
    await request_(store)
    for _ in range(2):
        with pytest.raises(error):
            await request_(store)
    assert by_botocore(script) == [True, False, False]


async def test_that_there_is_an_object_is_a_plain_answer_and_ours_is_known(script: Script, store: S3Store) -> None:
    script.then(STORED, FOUND, s3_error(412, "PreconditionFailed"), FOUND)
    await put_new(store)
    await head(store)
    with pytest.raises(ObjectExists):
        await put_new(store)
    assert by_botocore(script) == [True, True, False, False]


async def test_a_body_that_is_cut_is_no_object(script: Script, store: S3Store) -> None:
    script.then(FOUND, cuts_the_body)
    await get(store)
    with pytest.raises(BackendUnavailable):
        await get(store)


@pytest.mark.parametrize("known", [False, True])
async def test_a_body_that_stalls_is_waited_for_as_long_as_botocore_waits(
    script: Script, *, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_S3_READ_S", 0.1)
    script.then(*[FOUND] * known, stalls_in_the_body)
    async with open_clients(connections=1, wait_time_s=1) as clients:
        store = S3Store(clients.s3, clients.fast_path)
        if known:
            await get(store)
        with within(10), pytest.raises(BackendUnavailable, match=r"(?i)timeout"):
            await get(store)
    assert by_botocore(script) == [True, False][: 1 + known]


async def test_bytes_are_passed_on_as_they_came_without_a_copy() -> None:
    content = StreamReader(Mock(), 1 << 18, loop=asyncio.get_running_loop())
    crc = base64.b64encode(zlib.crc32(3 * BODY).to_bytes(4, "big")).decode()
    body = ObjectBody(Mock(headers={"x-amz-checksum-crc32": crc}, content=content))
    for piece in (BODY, 2 * BODY):
        content.feed_data(piece)
        assert await body.read(len(BODY) + 1) is piece
    content.feed_eof()
    assert not await body.read(1)


@pytest.mark.parametrize("right", [True, False])
async def test_the_bytes_are_held_against_the_checksum_that_came_with_them(
    script: Script, store: S3Store, *, right: bool
) -> None:
    crc = base64.b64encode(zlib.crc32(BODY if right else b"others").to_bytes(4, "big")).decode()
    script.then(FOUND, says(200, BODY, ETag='"e"', x_amz_checksum_crc32=crc))
    await get(store)
    if right:
        await get(store)
    else:
        with pytest.raises(BackendUnavailable, match="checksum"):
            await get(store)
    assert by_botocore(script) == [True, False]


@pytest.mark.parametrize("status", [200, 404, 412, 500])
@pytest.mark.parametrize(("request_", "plain"), [(put, STORED), (get, FOUND)])
async def test_an_answer_that_never_ends_is_not_read_on(
    script: Script, store: S3Store, request_: Callable[[S3Store], Awaitable[object]], plain: Answer, status: int
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=status)
        await answer.prepare(request)
        while True:
            await answer.write(b"<Error>" * (1 << 12))

    script.then(plain, endless, plain)
    with within(5):
        assert await request_(store) == await request_(store)
    assert by_botocore(script) == [True, False, True]


async def test_metadata_that_a_header_cannot_hold_is_aiobotocores_to_refuse(script: Script, store: S3Store) -> None:
    script.then(STORED)
    await put(store)
    with pytest.raises(BackendRefused):
        await store.put(REF, BODY, content_type="image/png", metadata={"name": "katze\u732b"})
    assert by_botocore(script) == [True]


async def test_through_a_proxy_all_requests_are_aiobotocores(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script()
    async with serving(script) as url:
        monkeypatch.setenv("http_proxy", url)
        with aws_env("http://s3.example"):
            async with open_clients(connections=4, wait_time_s=1) as clients:
                script.then(STORED, STORED)
                store = S3Store(clients.s3, clients.fast_path)
                await put(store)
                await put(store)
    assert by_botocore(script) == [True, True]


class Answered:
    """What botocore tells of a request that it has sent and of its answer."""

    def __init__(self, url: str, *, status: int = 200, scope: str = "eu-west-1/s3", **headers: str) -> None:
        self.status_code = status
        self.raw = self.request_info = self
        self.url = url
        self.headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential=AKID/20260101/{scope}/aws4_request, SignedHeaders=host",
            "X-Amz-Content-SHA256": "0" * 64,
            "Host": "h",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }


class Events:
    """Takes the place of a client, for the events that it has."""

    def __init__(self) -> None:
        self.meta = self.events = self
        self.learners: dict[str, Callable[..., None]] = {}

    def register(self, name: str, learner: Callable[..., None]) -> None:
        self.learners[name] = learner

    def tell(self, bucket: str, answered: Answered, *, key: str = "k") -> None:
        context = {"s3_redirect": {"params": {"Bucket": bucket, "Key": key}}}
        self.learners["after-call.s3.GetObject"](http_response=answered, context=context)


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def ways(events: Events, clock: list[float]) -> LearnedWays:
    ways = LearnedWays(limit=3, now=lambda: clock[0])
    client: Any = events
    ways.watch(client)
    return ways


def test_ways_have_a_bound_and_the_one_not_used_for_longest_goes(ways: LearnedWays, events: Events) -> None:
    for bucket in ("a", "b", "c"):
        events.tell(bucket, Answered(f"https://{bucket}.s3.example/k"))
    assert ways.find("a", "GET") is not None
    events.tell("d", Answered("https://d.s3.example/k"))
    assert [bucket for bucket in "abcd" if ways.find(bucket, "GET")] == ["a", "c", "d"]
    assert len(ways) == 3


@pytest.mark.parametrize(
    ("bucket", "answered"),
    [
        ("arn:aws:s3:eu-west-1:1:accesspoint/p", Answered("https://p-1.s3-accesspoint.example/k")),
        ("b--use1-az4--x-s3", Answered("https://b.s3express.example/k", scope="us-east-1/s3express")),
        ("b", Answered("https://b.s3.example/k", x_amz_s3session_token="t")),
        ("b", Answered("https://b.s3.example/k?versionId=1")),
        ("b", Answered("https://b.s3.example/other")),
        ("b", Answered("https://b.s3.example/k", x_amz_sdk_checksum_algorithm="CRC64NVME")),
        ("b", Answered("https://b.s3.example/k", Authorization="AWS4-ECDSA-P256-SHA256 Credential=AKID")),
        ("b", Answered("http://b.s3.example/k", X_Amz_Content_SHA256="UNSIGNED-PAYLOAD")),
        ("b", Answered("https://b.s3.example/k", status=500)),
    ],
)
def test_what_has_something_unknown_about_it_shows_no_way(
    ways: LearnedWays, events: Events, bucket: str, answered: Answered
) -> None:
    events.tell(bucket, answered)
    assert ways.find(bucket, "GET") is None


def test_three_faults_in_a_row_turn_a_way_off_for_five_minutes(
    ways: LearnedWays, events: Events, clock: list[float]
) -> None:
    good = Answered("https://b.s3.example/k")
    for _ in range(3):
        events.tell("b", good)
        assert ways.find("b", "GET") is not None
        ways.failed("b", "GET")
    events.tell("b", good)
    assert ways.find("b", "GET") is None
    clock[0] = 299.9
    assert ways.find("b", "GET") is None
    clock[0] = 300
    assert ways.find("b", "GET") is not None


@pytest.mark.parametrize("between", ["worked", "told"])
def test_faults_that_are_none_of_the_way_do_not_count(ways: LearnedWays, events: Events, between: str) -> None:
    for _ in range(9):
        events.tell("b", Answered("https://b.s3.example/k", status=403 if between == "told" else 200))
        if between == "worked":
            ways.worked("b", "GET")
        ways.failed("b", "GET")
    events.tell("b", Answered("https://b.s3.example/k"))
    assert ways.find("b", "GET") is not None

"""PUT /upload/{file name}: what POST /upload does with the file of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from yarl import URL

from support.patience import until, within
from support.servers.web import JPEG, answers, document
from thumbq.core import keys, message
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.web.app import UploadLimits
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from support.servers.web import Served

MIB = 1 << 20


def head(length: int | None, *, query: str = "", extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"PUT /upload/cat.jpg{query} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{framing}\r\n{extra}\r\n".encode()
    )


async def test_the_body_is_stored_and_queued_and_answered_as_the_file_of_a_form_is(served: Served) -> None:
    async with served.http.put(
        "/upload/cat.jpg?callback_url=https://example.com/a&metadata[album]=7", data=JPEG
    ) as put:
        assert put.status == 201
        answer = await put.json()
        [job] = answer["data"]["jobs"]
        assert put.headers["Location"] == job["url"]
    _, posted = await served.post(("cat.jpg", JPEG))
    assert job.pop("metadata") == {"album": "7"}
    [other] = posted["data"]["jobs"]
    assert answer["message"] == posted["message"]
    assert {**job, "id": "", "url": "", "renditions": ""} == {**other, "id": "", "url": "", "renditions": ""}
    source = ObjectRef(served.behind.real.bucket, keys.upload_key(job["id"]))
    info, body = await served.behind.real.store.get(source, max_bytes=MIB)
    assert (body, info.content_type) == (JPEG, "image/jpeg")
    received = await served.behind.real.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    jobs = [job for each in received for job in message.parse(each.body, default_bucket="local").jobs]
    assert [job.callback_url for job in jobs if job.source == source] == ["https://example.com/a"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a%20b.jpg", "a b.jpg"),
        ("{x}.jpg", "{x}.jpg"),
        ("a%2Fb.jpg", "a/b.jpg"),
        ("%E7%8C%AB", "猫"),
        ("%0A", "\n"),
        ("a%FF%C3.jpg", "a\ufffd\ufffd.jpg"),
        ("a%25FF", "a%FF"),
        ("a+b%2Bc", "a+b+c"),
    ],
)
async def test_any_name_is_a_name(served: Served, path: str, name: str) -> None:
    async with served.http.put(URL(f"{served.url}/upload/{path}", encoded=True), data=JPEG) as put:
        assert put.status == 201
        assert [job["original"]["filename"] for job in (await put.json())["data"]["jobs"]] == [name]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?colour=red", "invalid-query"),
        ("?metadata=1", "invalid-query"),
        ("?file=1", "invalid-query"),
        ("?priority=high", "unknown-priority"),
        ("?presets=nonsense", "unknown-preset"),
        ("?tenant=", "invalid-field"),
        ("?tenant=a&tenant=b", "invalid-field"),
        (f"?tenant={'t' * 2049}", "field-too-large"),
        ("?metadata[A]=1", "invalid-metadata"),
        ("?metadata[a]=%FF", "invalid-query"),
        ("?tenant=%C3", "invalid-query"),
        ("?tenant=%ED%A0%80", "invalid-query"),
        ("?metadata[%FF]=1", "invalid-query"),
    ],
)
async def test_a_field_that_cannot_be_is_refused_before_the_body_is_asked_for(
    served: Served, query: str, code: str
) -> None:
    answer = await served.exchange(head(len(JPEG), query=query, extra="Expect: 100-continue\r\n"), half_close=True)
    assert (answers(answer), document(answer)["code"]) == ([400], code)
    assert document(answer)["data"]["jobs"][0]["original"] == {"filename": "cat.jpg"}
    assert served.behind.store.calls == []


@pytest.mark.parametrize("limits", [UploadLimits(max_file_bytes=1000)])
async def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_not(served: Served, limits: UploadLimits) -> None:
    assert limits.max_file_bytes == 1000
    body = JPEG.ljust(1000)
    chunked = b"3e8\r\n" + body + b"\r\n"
    assert answers(await served.exchange(head(1000) + body)) == [201]
    assert answers(await served.exchange(head(None) + chunked + b"0\r\n\r\n")) == [201]
    expecting = await served.exchange(head(1001, extra="Expect: 100-continue\r\n"), half_close=True)
    assert (answers(expecting), document(expecting)["code"]) == ([413], "too-large")
    assert answers(await served.exchange(head(None) + chunked + b"1\r\nx\r\n0\r\n\r\n", half_close=True)) == [413]


async def test_a_client_that_asks_first_is_told_to_go_on(served: Served) -> None:
    answer = await served.exchange(head(len(JPEG), extra="Expect: 100-continue\r\n"), JPEG)
    assert answers(answer) == [100, 201]


@pytest.mark.parametrize(
    ("body", "status", "code"), [(b"", 400, "empty-file"), (b"#!/bin/sh", 415, "unsupported-format")]
)
async def test_what_is_no_image_is_refused(served: Served, body: bytes, status: int, code: str) -> None:
    async with served.http.put("/upload/cat.jpg", data=body) as put:
        assert (put.status, (await put.json(content_type=None))["code"]) == (status, code)
    assert served.behind.store.calls == []


async def test_a_body_that_is_cut_off_leaves_nothing(served: Served) -> None:
    answer = await served.exchange(head(len(JPEG) + 1) + JPEG, half_close=True)
    assert (answers(answer), document(answer)["code"]) == ([400], "incomplete-body")
    await served.exchange(head(len(JPEG) + 1) + JPEG, close=True)
    assert (await served.post(("a.jpg", JPEG)))[0] == 201
    assert served.behind.store.calls == ["put"]


@pytest.mark.parametrize("limits", [UploadLimits(stall_timeout_s=0.05)])
async def test_a_body_that_stalls_is_answered(served: Served, limits: UploadLimits) -> None:
    assert limits.stall_timeout_s == 0.05
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(head(len(JPEG) + 1) + JPEG)
        with within(5):
            answer = await stream.receive()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.behind.store.calls == []


async def test_a_store_that_is_away_is_a_503(served: Served) -> None:
    served.behind.store.errors["put"] = BackendUnavailable("away")
    async with served.http.put("/upload/cat.jpg", data=JPEG) as put:
        assert (put.status, (await put.json(content_type=None))["code"]) == (503, "backend-unavailable")


async def test_it_waits_for_the_job_if_the_client_likes_to(served: Served) -> None:
    async def upload() -> None:
        async with served.http.put("/upload/cat.jpg", data=JPEG, headers={"Prefer": "wait=20"}) as put:
            assert (put.status, put.headers["Preference-Applied"]) == (201, "wait=20")

    waiters = served.app[SERVICES].waiters
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        await until(lambda: waiters._waiters, within_s=5, what="the wait")
        waiters.stop()

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from support.servers.web import JPEG, PNG, document, form, head, multipart
from thumbq.core import message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.keys import is_id, upload_key
from thumbq.errors import (
    AccessDenied,
    BackendRefused,
    BackendUnavailable,
    BadAnswer,
    NotSent,
    ObjectMissing,
    SendRefused,
    StoreFull,
)
from thumbq.local.watermark import Watermark

if TYPE_CHECKING:
    from support.servers.web import Served
    from thumbq.errors import BackendError


async def test_an_upload_is_stored_and_queued_before_it_is_answered(served: Served) -> None:
    async with served.http.post("/upload", data=form(("cat.jpg", JPEG))) as response:
        document = await response.json()
        assert response.status == 201
        (job,) = document["data"]["jobs"]
        assert response.headers["Location"] == job["url"]
    assert document["success"] is True
    assert document["message"] == "Successfully uploaded file and sent message"
    assert is_id(job["id"])
    assert job == {
        "id": job["id"],
        "status": "queued",
        "url": f"/jobs/{job['id']}",
        "original": {"filename": "cat.jpg", "bytes": len(JPEG), "content_type": "image/jpeg"},
        "renditions": {"thumbnail": {"url": f"/jobs/{job['id']}/thumbnail"}},
    }
    source = ObjectRef(served.behind.real.bucket, upload_key(job["id"]))
    info, body = await served.behind.real.store.get(source, max_bytes=1000)
    assert (body, info.content_type, info.metadata) == (JPEG, "image/jpeg", {"filename": "cat.jpg"})
    (queued,) = await served.behind.real.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    assert message.parse(queued.body, default_bucket="other").jobs == (JobRequest(source),)


async def test_several_files_each_become_a_job_in_their_order(served: Served) -> None:
    async with served.http.post("/upload", data=form(("a.jpg", JPEG), ("b.png", PNG), ("c.jpg", JPEG))) as response:
        assert response.status == 201
        assert "Location" not in response.headers
        document = await response.json()
    assert document["success"] is True
    assert document["message"] == "Successfully uploaded 3 files and sent 3 messages"
    assert [job["original"]["filename"] for job in document["data"]["jobs"]] == ["a.jpg", "b.png", "c.jpg"]
    assert len({job["id"] for job in document["data"]["jobs"]}) == 3
    assert await served.behind.waiting() == 3


async def test_good_files_are_stored_beside_bad_ones(served: Served) -> None:
    status, document = await served.post(("a.txt", b"no image"), ("b.png", PNG), ("c.png", b""))
    assert (status, document["success"]) == (207, False)
    text, stored, empty = document["data"]["jobs"]
    assert (text["problem"]["status"], text["problem"]["code"]) == (415, "unsupported-format")
    assert stored["status"] == "queued"
    assert (empty["problem"]["status"], empty["problem"]["code"]) == (400, "empty-file")
    assert await served.behind.waiting() == 1


async def test_when_no_file_is_good_the_first_problem_is_the_answer(served: Served) -> None:
    status, document = await served.post(("a.png", b""), ("b.txt", b"no image"))
    assert (status, document["code"], document["success"]) == (400, "empty-file", False)
    assert [job["problem"]["code"] for job in document["data"]["jobs"]] == ["empty-file", "unsupported-format"]
    assert served.behind.store.calls == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"", 400, "empty-file"), (b"#!/bin/sh\n", 415, "unsupported-format"), (b"\x00", 415, "unsupported-format")],
)
async def test_a_file_that_is_no_image_is_refused_as_a_problem(
    served: Served, content: bytes, status: int, code: str
) -> None:
    async with served.http.post("/upload", data=form(("x.jpg", content))) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        document = await response.json(content_type=None)
    assert document["type"] == f"urn:thumbq:problem:{code}"
    assert document["status"] == status
    assert document["message"] == document["detail"]
    assert await served.behind.waiting() == 0
    assert (await served.post(("x.jpg", JPEG)))[0] == 201


async def test_a_form_without_a_file_is_told_which_parts_it_has(served: Served) -> None:
    status, document = await served.post(("a.jpg", JPEG), field="photo")
    assert (status, document["code"]) == (400, "no-file")
    assert "photo" in document["detail"]


@pytest.mark.parametrize("body", [b"", b"a=b", JPEG])
async def test_a_body_that_is_no_form_is_told_how_to_send_one(served: Served, body: bytes) -> None:
    async with served.http.post("/upload", data=body) as response:
        document = await response.json(content_type=None)
    assert (response.status, document["code"]) == (400, "not-multipart")
    assert "curl -F file=@photo.jpg" in document["detail"]


async def test_text_fields_beside_the_file_are_passed_over(served: Served) -> None:
    data = aiohttp.FormData({"title": "x" * 200_000})
    data.add_field("file", JPEG, filename="a.jpg")
    data.add_field("note", "bye")
    async with served.http.post("/upload", data=data) as response:
        assert response.status == 201


async def test_a_chunked_body_without_a_length_is_taken(served: Served) -> None:
    body = multipart(('name="file"; filename="a.jpg"', JPEG))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:7], body[7:150], body[150:]))
    answer = await served.exchange(head(None) + chunks + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 ")


async def test_whatever_stands_in_a_file_name_is_kept_as_metadata_only(served: Served) -> None:
    for name in ("../../passwd", "Grüße 🐈.jpg", "a\tb", "x" * 3000, "猫" * 300, "percent%41.jpg", "é=;'&.jpg"):
        body = multipart((f'name="file"; filename="{name}"', JPEG))
        (job,) = document(await served.exchange(head(len(body)) + body))["data"]["jobs"]
        async with served.http.get(job["url"]) as response:
            kept = (await response.json())["data"]["original"]["filename"]
        info = await served.behind.real.store.head(ObjectRef(served.behind.real.bucket, upload_key(job["id"])))
        assert info.metadata["filename"].isascii()
        assert len(info.metadata["filename"]) <= 1500
        assert kept == name[: len(kept)]
        assert len(kept) >= min(len(name), 100)


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam")
async def test_a_file_name_that_is_no_utf8_or_a_broken_header_does_no_harm(served: Served) -> None:
    for disposition, status, name in (
        (b'name="file"; filename="a\xff\xfe.jpg"', b"201", "a\ufffd\ufffd.jpg"),
        (b"name=\"file\"; filename*=wrong''%ff", b"201", None),
        (b"name=\"file\"; filename*=UTF-8''a%FF.jpg", b"201", None),
        (b"name=file;", b"201", None),
        (b"name=file; x", b"400", None),
    ):
        body = multipart(("@", JPEG)).replace(b"@", disposition, 1)
        answer = await served.exchange(head(len(body)) + body)
        assert answer.split()[1] == status, disposition
        for job in document(answer).get("data", {}).get("jobs", ()):
            assert job["original"].get("filename") == name, disposition


@pytest.mark.parametrize(
    ("error", "code"),
    [(SendRefused("no such queue"), "backend-refused"), (NotSent("no such queue"), "backend-unavailable")],
)
async def test_a_refused_message_takes_the_original_with_it(served: Served, error: BackendError, code: str) -> None:
    served.behind.queue.errors["send"] = error
    async with served.http.post("/upload", data=form(("a.jpg", JPEG))) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert "no such queue" not in await response.text()
        assert (await response.json(content_type=None))["code"] == code
    assert served.behind.store.calls == ["put", "delete"]


async def test_an_upload_that_would_fill_the_disk_is_refused_before_anything_is_stored(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: Watermark, size: int) -> None:
        assert size == len(JPEG)
        raise StoreFull("/secret/place: 1 byte is free")

    monkeypatch.setattr(Watermark, "check", full)
    status, document = await served.post(("a.jpg", JPEG))
    assert (status, document["code"]) == (507, "insufficient-storage")
    assert "secret" not in str(document)
    async with served.http.put("/upload/a.jpg", data=JPEG) as response:
        assert response.status == 507
    assert served.behind.store.calls == served.behind.queue.calls == []


async def test_a_lost_answer_of_the_queue_leaves_the_original_since_the_job_may_run(served: Served) -> None:
    served.behind.queue.lost_answers["send"] = BackendUnavailable("connection reset")
    status, document = await served.post(("a.jpg", JPEG))
    assert (status, document["code"]) == (503, "backend-unavailable")
    (queued,) = await served.behind.real.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    source = message.parse(queued.body, default_bucket="other").jobs[0].source
    assert (await served.behind.real.store.head(source)).size == len(JPEG)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendUnavailable("s3 is down"), 503),
        (AccessDenied("no"), 503),
        (BackendRefused("400 KMS.DisabledException"), 503),
        (ObjectMissing("404 to a put"), 503),
        (BadAnswer("no ETag"), 502),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_store_that_fails_is_503_or_502_and_one_file_is_enough_to_find_out(
    served: Served, error: Exception, status: int
) -> None:
    served.behind.store.errors["put"] = error
    async with served.http.post("/upload", data=form(("a.jpg", JPEG), ("b.jpg", JPEG), ("c.txt", b"text"))) as response:
        document: dict[str, Any] = await response.json(content_type=None)
        assert (response.status, response.headers["Retry-After"]) == (status, "5")
    assert [job["problem"]["status"] for job in document["data"]["jobs"]] == [status] * 3
    assert served.behind.store.calls == ["put"]
    served.behind.store.errors.clear()
    assert (await served.post(("a.jpg", JPEG)))[0] == 201


async def test_an_outage_in_the_middle_keeps_what_was_stored_before(served: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    answers: list[tuple[int, dict[str, Any]]] = []

    async def upload() -> None:
        answers.append(await served.post(("a.jpg", JPEG), ("b.jpg", JPEG)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        await served.behind.queue.until_called("send")
        served.behind.store.errors["put"] = BackendUnavailable("s3 is down")
        gate.set()
    ((status, document),) = answers
    assert (status, document["success"]) == (207, False)
    stored, lost = document["data"]["jobs"]
    assert stored["status"] == "queued"
    assert lost["problem"]["code"] == "backend-unavailable"


async def test_an_upload_whose_client_is_gone_is_stored_and_queued_whole(served: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    body = multipart(('name="file"; filename="a.jpg"', JPEG))
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(head(len(body)) + body)
        await served.behind.queue.until_called("send")
    gate.set()
    await served.behind.queue.until_returned("send")
    (queued,) = await served.behind.real.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    source = message.parse(queued.body, default_bucket="other").jobs[0].source
    assert (await served.behind.real.store.head(source)).size == len(JPEG)


async def test_a_file_of_many_chunks_arrives_byte_by_byte(served: Served) -> None:
    content = JPEG + random.Random(3).randbytes(400_000) + b"\r\n--b0undar\r\n\r\n"
    body = multipart(('name="file"; filename="a.jpg"', content))
    (job,) = document(await served.exchange(head(len(body)) + body))["data"]["jobs"]
    source = ObjectRef(served.behind.real.bucket, upload_key(job["id"]))
    _, stored = await served.behind.real.store.get(source, max_bytes=1 << 20)
    assert stored == content

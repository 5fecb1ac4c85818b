"""A client that stores an original itself: its form, the form's use on the local backend, and the job meanwhile."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest

from support import documents
from support.documents import PRESIGNED_UPLOADS
from support.patience import within
from support.servers.web import FORM_BYTES, FORM_EXPIRY_S, JPEG, answers, document, multipart, serve
from thumbq.core import keys, message, objectmetadata
from thumbq.core.formats import ImageFormat
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import Manifest, RenditionRecord, SourceRecord
from thumbq.errors import BackendUnavailable, SendRefused
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.web import FaultyBackend, Served

PLAIN = {"content_type": "image/jpeg"}


async def ask(served: Served, body: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a form; ``body`` is a document, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with served.http.post("/uploads", data=raw, headers={"Content-Type": "application/json"}) as response:
        return response.status, await response.json(content_type=None)


async def presign(served: Served, **members: Any) -> dict[str, Any]:
    status, answer = await ask(served, PLAIN | members)
    assert status == 201, answer
    data: dict[str, Any] = answer["data"]
    return data


def filled(fields: dict[str, str], body: bytes) -> aiohttp.FormData:
    """Return a form with its fields first and its file last, as S3 wants it."""
    data = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("file", body, filename="x.jpg", content_type="application/octet-stream")
    return data


async def post(served: Served, presigned: dict[str, Any], body: bytes = JPEG) -> tuple[int, dict[str, Any]]:
    """Use a form; return the status and the problem, if there is one."""
    upload = presigned["upload"]
    async with served.http.request(upload["method"], upload["url"], data=filled(upload["fields"], body)) as response:
        return response.status, await response.json(content_type=None) if await response.read() else {}


async def job(served: Served, presigned: dict[str, Any]) -> dict[str, Any]:
    async with served.http.get(presigned["url"]) as response:
        answer = await response.json(content_type=None)
        assert response.status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data


def source(served: Served, presigned: dict[str, Any]) -> ObjectRef:
    return ObjectRef(served.behind.real.bucket, keys.inbox_key(presigned["id"]))


async def queued(served: Served) -> list[message.Parsed]:
    """Receive all messages, as a worker reads them."""
    queue = served.behind.real.queue
    received = await queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    return [message.parse(each.body, default_bucket="local") for each in received]


async def make(served: Served, presigned: dict[str, Any], *, etag: str) -> None:
    """Do what a worker does for an original with this ETag: put the rendition, then the manifest."""
    original = source(served, presigned)
    ref = ObjectRef(original.bucket, f"thumbnail/{presigned['id']}.jpg")
    made = RenditionRecord(
        bucket=ref.bucket,
        key=ref.key,
        width=1,
        height=1,
        bytes=len(JPEG),
        content_type="image/jpeg",
        sha256=hashlib.sha256(JPEG).hexdigest(),
        fingerprint="f",
    )
    record = Manifest(
        status="done",
        source=SourceRecord(bucket=original.bucket, key=original.key, etag=etag),
        renditions={"thumbnail": made},
        message_id="m",
        receive_count=1,
        finished_at=datetime.now(UTC),
    )
    store = served.behind.real.store
    await store.put(ref, JPEG, content_type="image/jpeg")
    manifest = ObjectRef(original.bucket, keys.manifest_key(original.key))
    await store.put(manifest, record.encode(), content_type="application/json")


async def test_the_answer_has_a_form_for_one_original_and_where_its_job_will_be(served: Served) -> None:
    raw = json.dumps(PLAIN | {"filename": "cat.jpg"}).encode()
    before = int(time.time())
    async with served.http.post("/uploads", data=raw) as response:
        answer = await response.json()
    data = answer["data"]
    assert (response.status, answer["success"]) == (201, True)
    assert response.headers["Location"] == data["url"] == f"/jobs/{data['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert data["status"] == "awaiting-upload"
    assert (data["upload"]["method"], data["upload"]["url"]) == ("POST", f"{served.url}/inbox")
    assert data["upload"]["fields"]["key"] == f"inbox/{data['id']}"
    assert data["max_bytes"] == FORM_BYTES
    assert data["renditions"] == {"thumbnail": {"url": f"/jobs/{data['id']}/thumbnail"}}
    expires_at = datetime.fromisoformat(data["expires_at"]).timestamp()
    assert before + FORM_EXPIRY_S <= expires_at <= time.time() + FORM_EXPIRY_S
    assert data["expires_at"].endswith("Z")


async def test_a_form_that_is_used_brings_the_job_with_what_was_asked_for(served: Served) -> None:
    callback = "https://example.org/done?x=1"
    presigned = await presign(served, filename="猫.jpg", presets=["stretched"], callback_url=callback)
    assert await post(served, presigned) == (204, {})

    info, body = await served.behind.real.store.get(source(served, presigned), max_bytes=FORM_BYTES)
    assert (body, info.content_type) == (JPEG, "image/jpeg")
    assert (objectmetadata.presets(info.metadata), objectmetadata.callback_url(info.metadata)) == (
        ("stretched",),
        callback,
    )
    (parsed,) = await queued(served)
    assert [request.source for request in parsed.jobs] == [source(served, presigned)]
    found = await job(served, presigned)
    assert found["status"] == "queued"
    assert found["original"] == {"filename": "猫.jpg", "bytes": len(JPEG), "content_type": "image/jpeg"}
    assert list(found["renditions"]) == ["stretched"]


async def test_a_job_is_known_from_the_form_on_and_expires_with_it(served: Served) -> None:
    presigned = await presign(served, filename="cat.jpg", presets=["stretched"])
    awaiting = await job(served, presigned)
    served.behind.clock.ahead_s = FORM_EXPIRY_S + 1
    expired = await job(served, presigned)
    status, problem = await post(served, presigned)

    assert (awaiting["status"], expired["status"]) == ("awaiting-upload", "expired")
    assert awaiting["original"] == {"filename": "cat.jpg", "bytes": None, "content_type": "image/jpeg"}
    assert (awaiting["expires_at"], awaiting["max_bytes"]) == (presigned["expires_at"], FORM_BYTES)
    assert awaiting["renditions"] == presigned["renditions"]
    assert list(awaiting["renditions"]) == ["stretched"]
    assert (status, problem["code"]) == (403, "form-expired")
    async with served.http.get(f"{presigned['url']}/stretched") as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (404, "expired")


async def test_a_done_job_and_its_rendition_are_told_but_not_to_be_kept_for_good(served: Served) -> None:
    presigned = await presign(served)
    await post(served, presigned)
    info = await served.behind.real.store.head(source(served, presigned))
    await make(served, presigned, etag=info.etag)
    assert (await job(served, presigned))["status"] == "done"
    async with served.http.get(f"{presigned['url']}/thumbnail") as response:
        assert (response.status, await response.read()) == (200, JPEG)
        assert response.headers["Cache-Control"] == "public, no-cache"


async def test_a_form_that_is_used_again_replaces_the_original_and_its_job_is_queued_anew(served: Served) -> None:
    presigned = await presign(served)
    await post(served, presigned)
    info = await served.behind.real.store.head(source(served, presigned))
    await make(served, presigned, etag=info.etag)
    assert (await post(served, presigned, JPEG + b"!"))[0] == 204
    assert (await job(served, presigned))["status"] == "queued"
    assert len(await queued(served)) == 2


async def test_uploads_cost_no_request_more_for_the_direct_ones(served: Served) -> None:
    _, answer = await served.post(("cat.jpg", JPEG))
    url = answer["data"]["jobs"][0]["url"]
    served.behind.store.calls.clear()
    async with served.http.get(url) as response:
        assert response.status == 200
    assert served.behind.store.calls == ["get", "head"]


async def test_every_format_that_is_taken_can_be_announced(served: Served) -> None:
    for media_type in (*(known.content_type for known in ImageFormat), "image/heic", "IMAGE/PNG"):
        presigned = await presign(served, content_type=media_type)
        assert presigned["upload"]["fields"]["Content-Type"] == media_type.lower()


WRONG: Final[tuple[tuple[Any, str], ...]] = (
    ({}, '"content_type" is wrong: it is missing'),
    ({"content_type": "image/svg+xml"}, '"content_type" is wrong: it must be one of image/apng, image/avif'),
    ({"content_type": 1}, '"content_type"'),
    (PLAIN | {"filename": 1}, '"filename"'),
    (PLAIN | {"presets": []}, '"presets"'),
    (PLAIN | {"presets": "thumbnail"}, '"presets"'),
    (PLAIN | {"presets": ["thumb"]}, "\"presets\" is wrong: there is no preset 'thumb'"),
    (PLAIN | {"callback_url": "ftp://example.org"}, '"callback_url" is wrong: a callback URL must be an absolute'),
    (PLAIN | {"callback": "https://example.org"}, '"callback" is wrong: there is no such member; there are'),
    (b'{"content_type": "image/jpeg", "content_type": "image/png"}', '"content_type" is wrong: it stands there'),
    (b'{"\\ud800": 1, "content_type": "image/jpeg"}', "there is no such member"),
)


async def test_a_wrong_member_is_named(served: Served) -> None:
    for body, named in WRONG:
        status, problem = await ask(served, body)
        assert (status, problem["code"]) == (400, "invalid-member"), body
        assert named in problem["detail"]
    assert not served.behind.store.calls


async def test_what_is_no_json_object_is_told(served: Served) -> None:
    for body in (b"", b"content_type=image/jpeg", b"[]", b"[" * 10_000, b"\xff", b"1" * 10_000):
        status, problem = await ask(served, body)
        assert (status, problem["code"]) == (400, "invalid-json"), body


async def test_a_request_for_a_form_has_16_kib_at_the_most(served: Served) -> None:
    status, problem = await ask(served, PLAIN | {"filename": "x" * (16 << 10)})
    assert (status, problem["code"]) == (413, "too-large")


async def test_a_long_name_gives_way_to_presets_and_callback(served: Served) -> None:
    callback = "https://example.org/" + "c" * 1800
    presigned = await presign(served, filename="猫" * 300, callback_url=callback)
    fields = presigned["upload"]["fields"]
    names = [name for name in fields if name.startswith("x-amz-meta-")]
    assert sum(len(name.removeprefix("x-amz-meta-")) + len(fields[name]) for name in names) <= 2048
    assert fields["x-amz-meta-thumbq-callback"] == callback
    status, problem = await ask(served, PLAIN | {"callback_url": callback + "c" * 200})
    assert (status, problem["code"]) == (400, "too-much-metadata")


async def test_a_name_of_any_characters_can_be_posted_as_it_came(served: Served) -> None:
    presigned = await presign(served, filename='a "b"\r\n/..\\ ${filename} 🐱 \ud800.jpg')
    assert await post(served, presigned) == (204, {})
    assert (await job(served, presigned))["original"]["filename"] == 'a "b"\r\n/..\\ ${filename} 🐱 \ufffd.jpg'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "inbox/" + "0" * 26),
        ("Content-Type", "text/html"),
        ("x-amz-meta-thumbq-presets", "stretched"),
        ("policy", "e30="),
        ("signature", "0" * 64),
        ("success_action_redirect", "https://example.org"),
    ],
)
async def test_a_field_that_is_not_as_it_was_signed_is_refused(field: str, value: str, served: Served) -> None:
    presigned = await presign(served, presets=["thumbnail"])
    changed = presigned | {"upload": presigned["upload"] | {"fields": presigned["upload"]["fields"] | {field: value}}}
    status, problem = await post(served, changed)
    assert (status, problem["code"]) == (403, "form-not-signed")
    assert (await job(served, presigned))["status"] == "awaiting-upload"


async def test_a_form_without_its_signature_is_refused(served: Served) -> None:
    presigned = await presign(served)
    del presigned["upload"]["fields"]["signature"]
    status, problem = await post(served, presigned)
    assert (status, problem["code"]) == (400, "form-incomplete")


@pytest.mark.parametrize(("size", "expected"), [(0, 400), (1, 204), (FORM_BYTES, 204), (FORM_BYTES + 1, 413)])
async def test_the_size_is_what_the_form_says(size: int, expected: int, served: Served) -> None:
    presigned = await presign(served)
    status, problem = await post(served, presigned, bytes(size))
    assert (status, problem.get("code")) == (expected, {0: "empty-file", FORM_BYTES + 1: "too-large"}.get(size))
    assert (await job(served, presigned))["status"] == ("queued" if expected == 204 else "awaiting-upload")


def disposed(fields: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(f'name="{name}"', value.encode()) for name, value in fields.items()]


FILE = ('name="file"; filename="x"', JPEG)


async def sent(served: Served, body: bytes, *, cut: int = 0) -> bytes:
    head = (
        f"POST /inbox HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=b0undary\r\n\r\n"
    ).encode()
    return await served.exchange(head, body[: len(body) - cut], half_close=bool(cut))


async def test_what_follows_the_file_does_not_count(served: Served) -> None:
    presigned = await presign(served)
    body = multipart(*disposed(presigned["upload"]["fields"]), FILE, ('name="submit"', b"Upload"))
    assert answers(await sent(served, body)) == [204]
    assert (await job(served, presigned))["status"] == "queued"


async def test_a_file_before_its_fields_is_refused_unread(served: Served) -> None:
    presigned = await presign(served)
    answer = await sent(served, multipart(FILE, *disposed(presigned["upload"]["fields"])))
    assert (answers(answer), document(answer)["code"]) == ([400], "form-incomplete")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ([('name="key"', b"inbox/x")], "repeated-field"),
        ([(f'name="x-ignore-{number}"', b"") for number in range(100)], "too-many-fields"),
        ([('name="x-ignore-me"', bytes(20_001))], "too-many-fields"),
        ([], "no-file"),
    ],
)
async def test_a_form_out_of_shape_is_told(extra: list[tuple[str, bytes]], code: str, served: Served) -> None:
    presigned = await presign(served)
    answer = await sent(served, multipart(*disposed(presigned["upload"]["fields"]), *extra))
    assert document(answer)["code"] == code


async def test_a_file_that_was_cut_off_is_not_stored(served: Served) -> None:
    presigned = await presign(served)
    body = multipart(*disposed(presigned["upload"]["fields"]), FILE)
    answer = await sent(served, body, cut=20)
    assert (answers(answer), document(answer)["code"]) == ([400], "incomplete-body")
    assert (await job(served, presigned))["status"] == "awaiting-upload"


@pytest.fixture
async def hasty(behind: FaultyBackend) -> AsyncIterator[Served]:
    """Serve with little patience, and room for one form's file at a time."""
    limits = UploadLimits(stall_timeout_s=0.5, max_file_bytes=FORM_BYTES, max_concurrent=1, queue_s=0)
    async with serve(behind, limits, backend_timeout_s=1) as served:
        yield served


async def test_a_client_that_stalls_is_told(hasty: Served) -> None:
    for path in ("/uploads", "/inbox"):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=b0undary\r\n\r\n"
        ).encode()
        async with await anyio.connect_tcp(hasty.host, hasty.port) as stream:
            await stream.send(head)
            with within(5):
                answer = await stream.receive()
        assert (answers(answer), document(answer)["code"]) == ([408], "upload-stalled")


async def test_forms_that_are_used_count_as_uploads(hasty: Served) -> None:
    first, second = await presign(hasty), await presign(hasty)
    hasty.behind.store.gates["put"] = anyio.Event()
    codes: list[str] = []

    async def use(presigned: dict[str, Any]) -> None:
        codes.append((await post(hasty, presigned, bytes(FORM_BYTES)))[1]["code"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use, first)
        tasks.start_soon(use, second)
    assert sorted(codes) == ["backend-unavailable", "busy"]


async def test_a_store_that_is_away_is_told(hasty: Served) -> None:
    hasty.behind.store.errors["put"] = BackendUnavailable("away")
    status, problem = await ask(hasty, PLAIN)
    assert (status, problem["code"]) == (503, "backend-unavailable")
    del hasty.behind.store.errors["put"]
    hasty.behind.store.gates["put"] = anyio.Event()
    status, problem = await ask(hasty, PLAIN)
    assert (status, problem["code"]) == (503, "backend-unavailable")


async def test_an_original_whose_job_was_refused_is_removed_and_its_form_still_good(served: Served) -> None:
    presigned = await presign(served)
    served.behind.queue.errors["send"] = SendRefused("no")
    status, problem = await post(served, presigned)
    assert (status, problem["code"]) == (503, "backend-refused")
    assert (await job(served, presigned))["status"] == "awaiting-upload"
    del served.behind.queue.errors["send"]
    assert (await post(served, presigned))[0] == 204


async def test_without_a_host_no_address_can_be_told(served: Served) -> None:
    body = json.dumps(PLAIN).encode()
    head = f"POST /uploads HTTP/1.1\r\nHost: a@b/c\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = await served.exchange(head.encode() + body)
    assert (answers(answer), document(answer)["code"]) == ([400], "bad-host")


async def test_a_store_that_takes_the_form_itself_leaves_no_inbox_here(behind: FaultyBackend) -> None:
    backend = replace(behind.backend, presigned_verifier=None)
    async with serve(replace(behind, backend=backend), UploadLimits()) as served:
        async with served.http.post("/inbox", data=b"{}") as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (404, "no-direct-uploads")
        assert (await ask(served, PLAIN))[0] == 201


async def test_the_document_shows_what_is_asked_and_answered(served: Served) -> None:
    asked, shown = map(json.loads, documents.examples(PRESIGNED_UPLOADS, "Request", "json"))
    status, answer = await ask(served, asked)
    assert status == 201
    assert answer["message"] == shown["message"]
    assert answer["data"].keys() == shown["data"].keys()
    assert answer["data"]["upload"].keys() == shown["data"]["upload"].keys()
    assert answer["data"]["upload"]["fields"].keys() > shown["data"]["upload"]["fields"].keys()
    assert answer["data"]["renditions"].keys() == shown["data"]["renditions"].keys()

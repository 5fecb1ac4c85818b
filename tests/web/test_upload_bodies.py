"""Bodies that are cut off, too large, too many or slow: each gets its answer, and the next request is served."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import until, within
from support.servers.web import JPEG, answers, document, head, multipart
from thumbq.web import admission
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.web import Served

MIB = 1 << 20
FILE = 'name="file"; filename="a.jpg"'


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
async def test_wherever_a_body_is_cut_off_nothing_of_the_cut_file_is_stored(served: Served) -> None:
    body = multipart((FILE, b"\xff\xd8\xff\r\n--b0undar\r\n--"))
    complete = body.rindex(b"--b0undary--") + len("--b0undary")
    for cut in range(complete):
        answer = await served.exchange(head(cut) + body[:cut])
        assert answer.startswith(b"HTTP/1.1 400 "), (cut, answer)
        assert document(answer)["code"] == "incomplete-body"
    assert served.behind.store.calls == []
    for end in (complete + 2, complete + 3, complete + 4):
        assert (await served.exchange(head(end) + body[:end])).startswith(b"HTTP/1.1 201 ")


async def test_files_before_the_cut_are_stored_and_the_cut_one_has_its_problem(served: Served) -> None:
    body = multipart((FILE, JPEG), ('name="file"; filename="b.jpg"', JPEG))
    body = body[: body.rindex(JPEG) + 20]
    answer = await served.exchange(head(len(body)) + body)
    assert answer.startswith(b"HTTP/1.1 207 ")
    stored, cut = document(answer)["data"]["jobs"]
    assert (stored["status"], stored["original"]["filename"]) == ("queued", "a.jpg")
    assert (cut["problem"]["code"], cut["original"]["filename"]) == ("incomplete-body", "b.jpg")
    assert await served.behind.waiting() == 1


async def test_a_connection_that_breaks_in_the_middle_of_a_body_leaves_nothing(served: Served) -> None:
    body = multipart((FILE, JPEG))
    for cut in (0, 30, len(body) // 2, len(body) - len(b"--b0undary--")):
        await served.exchange(head(len(body)) + body[:cut], close=True)
    assert (await served.post(("a.jpg", JPEG)))[0] == 201
    assert served.behind.store.calls == ["put"]


@pytest.mark.parametrize("limits", [UploadLimits(stall_timeout_s=0.05)])
async def test_an_upload_that_stalls_is_answered(served: Served, limits: UploadLimits) -> None:
    assert limits.stall_timeout_s == 0.05
    body = multipart((FILE, JPEG))
    stream = await anyio.connect_tcp(served.host, served.port)
    async with stream:
        await stream.send(head(len(body)) + body[:-10])
        with within(5):
            answer = await stream.receive()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.behind.store.calls == []


async def test_damaged_chunks_are_an_incomplete_body(served: Served) -> None:
    body = multipart((FILE, JPEG))
    answer = await served.exchange(head(None) + b"%x\r\n" % (len(body) - 50) + body[: len(body) - 50] + b"\r\nzz\r\n")
    assert answer.split()[1] == b"400"  # where the parser sees both at once, aiohttp answers in its own words
    assert served.behind.store.calls == []


@pytest.mark.parametrize(
    "extra", ["Content-Encoding: gzip\r\n", "Content-Encoding: deflate\r\n"], ids=["gzip", "deflate"]
)
async def test_a_body_that_lies_about_its_compression_is_an_incomplete_body(served: Served, extra: str) -> None:
    body = multipart((FILE, JPEG))
    answer = await served.exchange(head(len(body), extra=extra) + body)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("boundary", ["; boundary=i", "", "; boundary="])
async def test_forms_in_forms_are_refused(served: Served, boundary: str) -> None:
    nested = multipart((f"{FILE}\r\nContent-Type: multipart/mixed{boundary}", b"--i\r\n\r\nx\r\n--i--"))
    answer = await served.exchange(head(len(nested)) + nested)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert document(answer)["code"] == "nested-form"


@pytest.mark.parametrize("boundary", ["b", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "x" * 70])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_form_with_a_charset_field_is_taken_wherever_the_field_stands(
    served: Served, boundary: str, place: int
) -> None:
    parts = [('name="title"', b"x"), (FILE, JPEG)]
    parts.insert(place, ('name="_charset_"', b"UTF-8"))
    body = multipart(*parts, boundary=boundary)
    answer = await served.exchange(head(len(body), boundary=boundary) + body)
    (job,) = document(answer)["data"]["jobs"]
    assert (job["status"], job["original"]["bytes"]) == ("queued", len(JPEG))


async def test_a_charset_is_that_of_the_fields_and_file_names_behind_it(served: Served) -> None:
    body = multipart(('name="_charset_"', b"ISO-8859-1"), ('name="priority"', b"\xe9"), (FILE, JPEG))
    problem = document(await served.exchange(head(len(body)) + body))
    assert (problem["code"], "é" in problem["detail"]) == ("unknown-priority", True)
    body = multipart(('name="_charset_"', b"Shift_JIS"), ('name="file"; filename="@.jpg"', JPEG))
    body = body.replace(b"@", "猫".encode("shift_jis"))
    (job,) = document(await served.exchange(head(len(body)) + body))["data"]["jobs"]
    assert job["original"]["filename"] == "猫.jpg"


@pytest.mark.parametrize("name", [b"", b"x" * 50, b"klingon", b"rot13", b"utf\x00-8", b"\xff"])
async def test_a_charset_that_nobody_knows_is_told(served: Served, name: bytes) -> None:
    body = multipart(('name="_charset_"', name), (FILE, JPEG))
    problem = document(await served.exchange(head(len(body)) + body))
    assert (problem["status"], problem["code"]) == (400, "invalid-field")
    assert "_charset_" in problem["detail"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("", "no-boundary"),
        (";", "no-boundary"),
        ("; boundary=", "no-boundary"),
        ('; boundary=""', "no-boundary"),
        ("; charset=utf-8", "no-boundary"),
        (f"; boundary={'x' * 71}", "no-boundary"),
        ("; boundary=other", "incomplete-body"),
    ],
)
async def test_a_form_without_a_boundary_is_told_so(served: Served, parameters: str, code: str) -> None:
    body = multipart((FILE, JPEG))
    sent = head(len(body)).replace(b"; boundary=b0undary", parameters.encode())
    problem = document(await served.exchange(sent + body))
    assert (problem["status"], problem["code"]) == (400, code)
    assert ("boundary of 1 to 70" in problem["detail"]) == (code == "no-boundary")
    assert served.behind.store.calls == []


@pytest.mark.parametrize(
    ("header", "status", "code", "word"),
    [
        ("X: " + "x" * 9000, 413, "part-head-too-large", "8,190 bytes"),
        ("\r\n".join(f"X-{number}: y" for number in range(200)), 413, "part-head-too-large", "128 headers"),
        ("X: a\x00b", 400, "invalid-part-head", "NUL"),
        ("X\x00: b", 400, "invalid-part-head", "NUL"),
        ("no colon", 400, "invalid-part-head", "colon"),
        (": no name", 400, "invalid-part-head", "name"),
    ],
    ids=["long", "many", "NUL in a value", "NUL in a name", "no colon", "no name"],
)
async def test_a_head_of_a_part_that_cannot_be_read_is_told_why(
    served: Served, header: str, status: int, code: str, word: str
) -> None:
    body = multipart((f"{FILE}\r\n{header}", JPEG))
    problem = document(await served.exchange(head(len(body)) + body))
    assert (problem["status"], problem["code"]) == (status, code)
    assert word in problem["detail"]


async def test_a_nul_in_a_file_name_or_a_field_does_no_harm(served: Served) -> None:
    body = multipart(("name=\"file\"; filename*=utf-8''a%00b.jpg", JPEG))
    assert (await served.exchange(head(len(body)) + body)).startswith(b"HTTP/1.1 201 ")
    body = multipart(('name="presets"', b"a\x00b"), (FILE, JPEG))
    assert document(await served.exchange(head(len(body)) + body))["code"] == "unknown-preset"


async def test_a_file_in_a_transfer_encoding_is_told_to_come_plain(served: Served) -> None:
    body = multipart((FILE + "\r\nContent-Transfer-Encoding: base64", b"/9j/4AAQ"))
    answer = await served.exchange(head(len(body)) + body)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert document(answer)["code"] == "transfer-encoding"


@pytest.mark.parametrize("limits", [UploadLimits(max_file_bytes=1000)])
async def test_a_file_may_be_exactly_as_large_as_the_limit(served: Served, limits: UploadLimits) -> None:
    fits = JPEG.ljust(limits.max_file_bytes, b"x")
    status, answer = await served.post(("a.jpg", fits), ("b.jpg", fits + b"x"), ("c.jpg", JPEG))
    assert status == 207
    first, second, third = answer["data"]["jobs"]
    assert (first["status"], third["status"]) == ("queued", "queued")
    assert (second["problem"]["status"], second["problem"]["code"]) == (413, "too-large")


async def test_a_file_of_30_mib_is_told_that_it_is_too_large(served: Served) -> None:
    body = multipart((FILE, JPEG + bytes(30 * MIB)))
    answer = await served.exchange(head(len(body)) + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert "25 MiB" in document(answer)["detail"]
    assert (await served.post(("a.jpg", JPEG)))[0] == 201


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_shows_the_problem_of_a_file_of_30_mib(served: Served, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(JPEG + bytes(30 * MIB))
    assert await _curl("-F", f"file=@{photo}", f"{served.url}/upload") == 413
    assert await _curl("--data-binary", f"@{photo}", f"{served.url}/upload") == 400
    assert await _curl("-X", "POST", f"{served.url}/upload") == 400
    photo.write_bytes(JPEG)
    assert await _curl("-F", f"file=@{photo}", f"{served.url}/upload") == 201


async def _curl(*args: str) -> int:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *args,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    text, _, status = output.decode().rpartition("\n")
    assert json.loads(text)["message"]
    return int(status)


@pytest.mark.parametrize("limits", [UploadLimits(max_file_bytes=1000, max_files=2)])
async def test_a_request_larger_than_all_its_files_may_be_is_refused_before_it_is_read(
    served: Served, limits: UploadLimits
) -> None:
    body = multipart((FILE, JPEG + bytes(30 * MIB)))
    answer = await served.exchange(head(len(body)) + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert str(limits.max_request_bytes) in document(answer)["detail"]
    chunked = await served.exchange(head(None) + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
    assert chunked.startswith(b"HTTP/1.1 413 ")
    assert str(limits.max_request_bytes) in document(chunked)["detail"]


@pytest.mark.parametrize("limits", [UploadLimits(max_files=2)])
async def test_files_over_the_number_are_refused_and_the_others_stored(served: Served, limits: UploadLimits) -> None:
    status, answer = await served.post(*[(f"{number}.jpg", JPEG) for number in range(limits.max_files + 3)])
    assert status == 207
    assert [job.get("status") for job in answer["data"]["jobs"]] == ["queued", "queued", None]
    assert answer["data"]["jobs"][2]["problem"]["code"] == "too-many-files"
    assert (await served.post(*[("x", b"x")] * 101, field="other"))[1]["code"] == "too-many-fields"


@pytest.mark.parametrize("limits", [UploadLimits(max_concurrent=1, queue_s=0, max_file_bytes=500_000)])
async def test_an_upload_that_finds_no_room_is_answered_busy_and_small_ones_find_it(
    served: Served, limits: UploadLimits
) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    body = multipart((FILE, JPEG + bytes(limits.max_file_bytes)))
    statuses: list[int] = []

    async def upload(size: int) -> None:
        statuses.append((await served.post(("a.jpg", JPEG + bytes(size))))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload, admission.ALLOWANCE_BYTES)
        await served.behind.queue.until_called("send")
        answer = await served.exchange(head(len(body)) + body)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in answer
        assert document(answer)["code"] == "busy"
        async with served.http.get("/livez") as response:
            assert response.status == 200
        for _ in range(50):
            tasks.start_soon(upload, 0)
        tasks.start_soon(upload, limits.max_file_bytes // 2)
        await until(lambda: served.behind.queue.calls.count("send") == 52, within_s=5, what="all of them in the queue")
        gate.set()
    assert statuses == [201] * 52
    assert (await served.post(("b.jpg", JPEG.ljust(limits.max_file_bytes, b"x"))))[0] == 201


@pytest.mark.parametrize("limits", [UploadLimits(max_concurrent=2, max_file_bytes=200_000, min_bytes_per_s=10**12)])
async def test_clients_that_trickle_are_ended_for_others_and_only_then(
    served: Served, limits: UploadLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_JUDGED_AFTER_S", 0.0)
    monkeypatch.setattr(admission, "_LOOK_S", 0.01)
    large = JPEG.ljust(limits.max_file_bytes, b"x")
    body = multipart((FILE, large))
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(await anyio.connect_tcp(served.host, served.port)) for _ in range(2)]
        for stream in slow:
            await stream.send(head(len(body)) + body[:-20])
            await anyio.sleep(0.01)
        assert (await served.post(("small.jpg", JPEG)))[0] == 201
        assert (await served.post(("large.jpg", large)))[0] == 201
        first = await slow[0].receive()
        assert (answers(first), document(first)["code"]) == ([408], "upload-too-slow")
        assert b"Retry-After: 1\r\n" in first
        await slow[1].send(body[-20:])
        assert answers(await slow[1].receive()) == [201]

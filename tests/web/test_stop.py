"""The end of patience: a backend that never answers, and a service that stops while uploads come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.patience import within
from support.servers.web import JPEG, answers, document, form, head, multipart, serve
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream

    from support.servers.web import FaultyBackend, Served

FILE = 'name="file"; filename="a.jpg"'
BODY = multipart((FILE, JPEG))
JOB = "0" * 26


@pytest.fixture
async def impatient(behind: FaultyBackend) -> AsyncIterator[Served]:
    async with serve(behind, UploadLimits(), backend_timeout_s=0.05) as served:
        yield served


@pytest.mark.parametrize("held", ["put", "send"])
async def test_an_upload_does_not_wait_for_a_frozen_backend_for_long(impatient: Served, held: str) -> None:
    faults = impatient.behind.store if held == "put" else impatient.behind.queue
    faults.gates[held] = anyio.Event()
    with within(5), capture_logs() as logs:
        async with impatient.http.post("/upload", data=form(("a.jpg", JPEG), ("b.jpg", JPEG))) as response:
            document = await response.json(content_type=None)
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert [job["problem"]["code"] for job in document["data"]["jobs"]] == ["backend-unavailable"] * 2
    assert impatient.behind.store.calls == ["put"]  # what may be queued stays, and the second file did not wait too
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("http.request", "info"),
        ("request.refused", "warning"),
    ]
    assert logs[0]["codes"] == ["backend-unavailable"] * 2


@pytest.mark.parametrize("held", ["get", "head"])
@pytest.mark.parametrize("path", [f"/jobs/{JOB}", f"/jobs/{JOB}/thumbnail"])
async def test_a_question_does_not_wait_for_a_frozen_store_for_long(impatient: Served, path: str, held: str) -> None:
    impatient.behind.store.gates[held] = anyio.Event()
    with within(5):
        async with impatient.http.get(path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            assert (await response.json(content_type=None))["code"] == "backend-unavailable"


def stop(served: Served) -> None:
    served.health.ready = "stopping"
    served.server.cut_off_uploads()


async def begun(served: Served, sent: bytes, *, length: int = len(BODY)) -> SocketStream:
    """Send a part of an upload that keeps its connection, and wait until the server waits for the rest."""
    stream = await anyio.connect_tcp(served.host, served.port)
    await stream.send(head(length).replace(b"Connection: close\r\n", b"") + sent)
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    return stream


@pytest.mark.parametrize("cut", [0, 50, len(BODY) - 20])
async def test_uploads_that_wait_for_bytes_are_answered_when_they_are_cut_off(served: Served, cut: int) -> None:
    async with await begun(served, BODY[:cut]) as stream:
        stop(served)
        with within(1):
            answer = await stream.receive()
    assert answers(answer) == [503]
    assert document(answer)["code"] == "stopping"
    assert b"Retry-After: 1\r\n" in answer
    assert b"Connection: close\r\n" in answer
    assert served.behind.store.calls == []


@pytest.mark.parametrize("closing", [False, True])
async def test_an_upload_that_never_stops_sending_is_cut_off_too(served: Served, *, closing: bool) -> None:
    async with await begun(served, b"", length=1 << 28) as stream, anyio.create_task_group() as tasks:

        async def flood() -> None:
            await stream.send(b'--b0undary\r\nContent-Disposition: form-data; name="x"\r\n\r\n')
            while True:
                await stream.send(bytes(1 << 16))

        tasks.start_soon(flood)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        stop(served)
        if closing:
            tasks.start_soon(served.server.close)
            # It reads late, as a client does that has more to send; a reset would have taken the answer away.
            await anyio.sleep(0.1)
        with within(2):
            assert answers(await stream.receive()) == [503]
        tasks.cancel_scope.cancel()


async def test_a_file_that_is_being_stored_is_finished_and_those_behind_it_are_cut_off(served: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    body = multipart((FILE, JPEG), ('name="file"; filename="b.jpg"', JPEG))
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(head(len(body)) + body[: body.rindex(JPEG)])
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        await stream.send(JPEG[:100])
        await served.behind.queue.until_called("send")
        stop(served)
        gate.set()
        with within(2):
            answer = await stream.receive()
    assert answers(answer) == [207]
    stored, cut = document(answer)["data"]["jobs"]
    assert stored["status"] == "queued"
    assert cut["problem"]["code"] == "stopping"
    assert await served.behind.waiting() == 1


async def test_a_complete_upload_is_finished_also_while_the_server_closes(served: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    status: list[int] = []

    async def upload() -> None:
        status.append((await served.post(("a.jpg", JPEG)))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        await served.behind.queue.until_called("send")
        stop(served)
        tasks.start_soon(served.server.close)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        gate.set()
    assert status == [201]


async def test_uploads_that_come_after_the_cut_are_told_so_at_once(served: Served) -> None:
    stop(served)
    answer = await served.exchange(head(None).replace(b"Connection: close\r\n", b""), half_close=True)
    assert answers(answer) == [503]
    assert document(answer)["code"] == "stopping"
    async with served.http.get("/livez") as response:
        assert (response.status, response.headers["Connection"]) == (200, "close")


async def test_an_upload_that_is_cut_off_does_not_hold_the_stop(served: Served) -> None:
    async with await begun(served, BODY[:50]) as stream:
        stop(served)
        with within(1.5):
            await served.server.close()
        assert answers(await stream.receive()) == [503]

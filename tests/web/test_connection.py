"""Every connection gets its answer, whatever its client sends and wherever it stops. Here speak raw sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import struct
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute
from structlog.testing import capture_logs

from support.patience import until, within
from support.servers.web import JPEG, answers, document, form, multipart, serve
from thumbq.web import connection
from thumbq.web.app import UploadLimits
from thumbq.web.door import Door

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers.web import FaultyBackend, Served

BODY = multipart(('name="file"; filename="a.jpg"', JPEG))
GET = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(autouse=True)
def nothing_is_said_outside_of_our_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test here may make aiohttp or asyncio complain: any client could fill the log with stack traces."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


async def no_connections(served: Served) -> None:
    with within(5):
        while served.connections():  # noqa: ASYNC110 - the server tells nobody that a connection is gone
            await anyio.sleep(0.005)


def post(framing: str, *, version: str = "1.1") -> bytes:
    """Return the head of an upload that would keep the connection open."""
    return (
        f"POST /upload HTTP/{version}\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=b0undary\r\n"
        f"{framing}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_whole_request_before_a_half_close_gets_its_answer(served: Served, pieces: int) -> None:
    length = post(f"Content-Length: {len(BODY)}")
    sent = (length, BODY) if pieces == 2 else (length + BODY,)
    answer = await served.exchange(*sent, half_close=True)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert (await served.exchange(GET, half_close=True)).startswith(b"HTTP/1.1 200 ")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    answer = await served.exchange(post("Transfer-Encoding: chunked"), chunked, half_close=True)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert await served.behind.waiting() == 2
    await no_connections(served)


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(
    ("framing", "version"),
    [("length", "1.1"), ("length", "1.0"), ("chunked, cut between chunks", "1.1"), ("chunked, cut in a chunk", "1.1")],
)
async def test_a_body_cut_off_by_a_half_close_is_told_so(
    served: Served, framing: str, version: str, pieces: int
) -> None:
    for cut in (0, 1, 80, len(BODY) // 2, len(BODY) - len("--b0undary--\r\n")):
        begin, body = post(f"Content-Length: {len(BODY)}", version=version), BODY[:cut]
        if "chunked" in framing:
            begin = post("Transfer-Encoding: chunked")
            size, end = (cut, b"\r\n") if "between" in framing else (len(BODY), b"")
            body = b"%x\r\n%s%s" % (size, body, end) if size else b""
        sent = (begin, body) if pieces == 2 else (begin + body,)
        answer = await served.exchange(*sent, half_close=True)
        assert answers(answer) == [400], cut
        assert document(answer)["code"] == "incomplete-body"
    assert served.behind.store.calls == []
    await no_connections(served)


async def test_files_before_the_half_close_are_stored_and_the_cut_one_has_its_problem(served: Served) -> None:
    body = multipart(('name="file"; filename="a.jpg"', JPEG), ('name="file"; filename="b.jpg"', JPEG))
    answer = await served.exchange(
        post(f"Content-Length: {len(body)}") + body[: body.rindex(JPEG) + 20], half_close=True
    )
    assert answer.startswith(b"HTTP/1.1 207 ")
    stored, cut = document(answer)["data"]["jobs"]
    assert stored["status"] == "queued"
    assert cut["problem"]["code"] == "incomplete-body"


async def test_a_half_close_while_the_upload_is_stored_leaves_it_its_answer(served: Served) -> None:
    gate = served.behind.queue.gates["send"] = anyio.Event()
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(post(f"Content-Length: {len(BODY)}") + BODY)
        await served.behind.queue.until_called("send")
        await stream.send_eof()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        gate.set()
        with within(5):
            answer = b"".join([chunk async for chunk in stream])
    assert answer.startswith(b"HTTP/1.1 201 ")
    await no_connections(served)


async def test_all_requests_that_came_before_a_half_close_are_answered_in_their_order(served: Served) -> None:
    sent = GET + post(f"Content-Length: {len(BODY)}") + BODY + GET + post(f"Content-Length: {len(BODY)}") + BODY[:-50]
    for half in (False, True):
        pieces = (sent[: len(sent) // 2], sent[len(sent) // 2 :]) if half else (sent,)
        answer = await served.exchange(*pieces, half_close=True)
        assert answers(answer) == [200, 201, 200, 400]
    await no_connections(served)


async def test_an_idle_connection_is_closed_when_its_client_goes(served: Served) -> None:
    assert await served.exchange(half_close=True) == b""
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(GET)
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        await stream.send_eof()
        with within(5), pytest.raises(anyio.EndOfStream):
            await stream.receive()
    await no_connections(served)


async def test_clients_that_are_gone_altogether_leave_nothing_behind(served: Served) -> None:
    for sent in (GET, GET * 20, post(f"Content-Length: {len(BODY)}") + BODY, post("Content-Length: 900") + BODY[:50]):
        await served.exchange(sent, close=True)
    await no_connections(served)
    assert (await served.post(("a.jpg", JPEG)))[0] == 201


async def test_a_request_that_ends_within_its_head_is_refused(served: Served) -> None:
    whole = post("Content-Length: 5")
    for cut in range(1, len(whole)):
        answer = await served.exchange(whole[:cut], half_close=True)
        assert answers(answer) == [400], whole[:cut]
        assert document(answer)["code"] == "bad-request"
    assert answers(await served.exchange(GET + whole[:30], half_close=True)) == [200, 400]
    assert await served.exchange(b"\r\n", half_close=True) == b""
    await no_connections(served)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x00garbage\r\n\r\n", 400, "bad-request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"),
        (b"NOT HTTP\r\n\r\n", 400, "bad-request"),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 400, "bad-request"),
        (post("Content-Length: abc"), 400, "bad-request"),
        (post("Content-Length: -1"), 400, "bad-request"),
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400, "bad-request"),
        (post("Transfer-Encoding: chunked") + b"ZZ\r\n", 400, "bad-request"),
        (post("Content-Length: 5\r\nContent-Encoding: br"), 415, "content-encoding"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_what_the_parser_refuses_is_a_problem_and_one_line_without_a_trace(
    served: Served, sent: bytes, status: int, code: str
) -> None:
    with capture_logs() as logs:
        answer = await served.exchange(sent)
    assert answers(answer) == [status]
    assert b"Content-Type: application/problem+json" in answer
    assert b"X-Content-Type-Options: nosniff\r\n" in answer
    problem = document(answer)
    assert (problem["status"], problem["code"], problem["success"]) == (status, code, False)
    assert len(problem["detail"]) < 300
    (line,) = logs
    assert (line["event"], line["log_level"], line["status"]) == ("request.unreadable", "info", status)
    assert "exc_info" not in line
    assert f"X-Request-Id: {line['request_id']}\r\n".encode() in answer
    await no_connections(served)


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ([], {}),
        (["*"], {"Access-Control-Allow-Origin": "*"}),
        (["https://a.test"], {"Access-Control-Allow-Origin": "https://a.test", "Vary": "Origin"}),
        (["https://a.test", "https://b.test"], {"Vary": "Origin"}),
    ],
)
async def test_a_page_reads_what_the_parser_refuses_if_only_one_origin_can_have_sent_it(
    behind: FaultyBackend, limits: UploadLimits, origins: list[str], allowed: dict[str, str]
) -> None:
    async with serve(behind, limits, door=Door(listens_on="127.0.0.1", cors_origins=origins)) as served:
        answer = await served.exchange(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answers(answer) == [400]
    told = dict(line.split(": ", 1) for line in answer.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:])
    assert {name: told[name] for name in told if name in {"Access-Control-Allow-Origin", "Vary"}} == allowed
    exposed = told.get("Access-Control-Expose-Headers", "")
    assert ("X-Request-Id" in exposed) == ("Access-Control-Allow-Origin" in allowed)


@pytest.mark.parametrize("path", ["/upload", "/livez", "/nothing"])
async def test_an_expectation_that_nobody_knows_is_a_problem(served: Served, path: str) -> None:
    data = form(("a.jpg", JPEG))
    with capture_logs() as logs:
        async with served.http.post(path, data=data, headers={"Expect": "wonders"}) as response:
            assert (response.status, response.content_type) == (417, "application/problem+json")
            problem = await response.json(content_type=None)
    assert problem["code"] == "expectation-failed"
    assert "100-continue" in problem["detail"]
    assert response.headers["X-Request-Id"]
    assert [(line["event"], line["code"]) for line in logs] == [("http.request", "expectation-failed")]


async def test_a_client_that_asks_before_it_sends_is_told_to_continue(served: Served) -> None:
    answer = await served.exchange(
        post(f"Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\nConnection: close"), BODY
    )
    assert answers(answer) == [100, 201]


async def test_a_chunk_that_is_damaged_later_ends_the_upload_with_one_answer(served: Served) -> None:
    begin = post("Transfer-Encoding: chunked") + b"64\r\n" + BODY[:100] + b"\r\n"
    answer = await served.exchange(begin, b"ZZ\r\n" + bytes(100_000), bytes(100_000))
    assert answers(answer) == [400]
    assert document(answer)["code"] == "incomplete-body"
    assert b"Connection: close\r\n" in answer
    await no_connections(served)


async def test_a_compressed_body_that_is_damaged_has_its_problem(served: Served) -> None:
    squeezed = gzip.compress(BODY)
    fine = post(f"Content-Length: {len(squeezed)}\r\nContent-Encoding: gzip\r\nConnection: close")
    assert answers(await served.exchange(fine + squeezed)) == [201]
    for damaged in (BODY, squeezed[:20] + b"\xff" * 50 + squeezed[70:]):
        begin = post(f"Content-Length: {len(damaged) + 5}\r\nContent-Encoding: gzip")
        answer = await served.exchange(begin, damaged)
        assert answers(answer) == [400]
        assert document(answer)["code"] == "incomplete-body"
    await no_connections(served)


async def test_a_client_that_stays_behind_a_damaged_body_is_closed_without_a_trace(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LINGER_S", 0.01)
    begin = post(f"Content-Length: {len(BODY) + 5}\r\nContent-Encoding: gzip")
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(begin + BODY)
        assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        await no_connections(served)


async def test_the_refusal_reaches_a_client_that_goes_on_sending(served: Served) -> None:
    begin = post("Content-Length: 3000000\r\nContent-Encoding: br")
    assert answers(await served.exchange(begin, *[bytes(500_000) for _ in range(6)])) == [415]
    assert answers(await served.exchange(begin + bytes(3_000_000))) == [415]
    await no_connections(served)


async def test_a_failure_outside_of_the_application_is_a_problem_and_keeps_its_trace(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_request: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(served.server._runner.server, "request_handler", broken)
    with capture_logs() as logs:
        answer = await served.exchange(GET)
    assert answers(answer) == [500]
    assert document(answer)["code"] == "internal-error"
    assert b"secret" not in answer
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("request.failed", "error")
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_a_client_that_lingers_does_not_hold_the_stop(
    behind: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LINGER_S", 600)
    async with (
        serve(behind, UploadLimits(), shutdown_timeout_s=600) as served,
        await anyio.connect_tcp(served.host, served.port) as unreadable,
        await anyio.connect_tcp(served.host, served.port) as early,
    ):
        await unreadable.send(b"NOT HTTP\r\n\r\n")
        await early.send(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        for stream in (unreadable, early):
            assert (await stream.receive()).startswith(b"HTTP/1.")
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        with within(1):
            await served.server.close()


async def test_nobody_waits_for_a_client_that_is_gone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LINGER_S", 600)
    before = asyncio.all_tasks()
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(b"NOT HTTP\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.")
        reset_at_close = struct.pack("ii", 1, 0)
        stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
    await until(lambda: asyncio.all_tasks() <= before, within_s=1, what="the end of the connection's task")

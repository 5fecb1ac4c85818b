"""How many connections there are, and which of them goes when another one comes."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from anyio.abc import SocketAttribute
from structlog.testing import capture_logs

from support.patience import until, within
from support.servers.web import JPEG, answers, document, head, multipart, serve
from support.virtual_time import on_virtual_time
from thumbq.web import admission, connection, connections
from thumbq.web.app import UploadLimits
from thumbq.web.connections import AT_ONCE, Acceptor, Connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream

    from support.servers.web import FaultyBackend, Served

MOST = 5
GET = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
BODY = multipart(('name="file"; filename="a.jpg"', JPEG))


@dataclass(eq=False)
class Client:
    dropped: bool = False

    def drop(self) -> None:
        self.dropped = True


def opened(counted: Connections, number: int) -> list[Client]:
    clients = [Client() for _ in range(number)]
    for client in clients:
        counted.opened(client)
    return clients


def test_those_that_wait_the_longest_for_their_clients_go() -> None:
    async def work() -> None:
        counted = Connections(MOST, lambda _: 0)
        working, asked, gone, silent, again = opened(counted, MOST)
        counted.works(working)
        await anyio.sleep(1)
        counted.works(asked)
        counted.waits(asked)
        counted.closed(gone)
        counted.works(again)
        counted.waits(again)
        await anyio.sleep(10)
        opened(counted, 2)
        counted.trim()
        assert [each.dropped for each in (working, asked, gone, silent, again)] == [False, False, False, True, False]
        opened(counted, 2)
        counted.trim()
        assert [each.dropped for each in (working, asked, silent, again)] == [False, True, True, True]
        assert len(counted) == MOST

    on_virtual_time(work)


def test_before_one_that_has_just_come_an_upload_goes_that_is_too_slow() -> None:
    async def work() -> None:
        slow = [True]
        counted = Connections(MOST, lambda _: bool(slow) and slow.pop())
        for client in opened(counted, MOST):
            counted.works(client)
        first, second = opened(counted, 2)
        counted.trim()
        assert not slow
        assert [first.dropped, second.dropped] == [True, False]

    on_virtual_time(work)


def test_one_that_has_had_its_last_answer_goes_first_and_at_once() -> None:
    async def work() -> None:
        ended: list[Client] = []

        def end(number: int) -> int:
            for client in working[len(ended) : len(ended) + number]:
                counted.lingers(client)
                ended.append(client)
            return number

        counted = Connections(MOST, end)
        working = opened(counted, MOST + AT_ONCE)
        for client in working:
            counted.works(client)
        began_at = anyio.current_time()
        assert await counted.room()
        assert anyio.current_time() == began_at, "nothing is waited for"
        counted.trim()
        assert len(counted) == MOST
        assert sum(client.dropped for client in ended) == AT_ONCE
        again = working[-1]
        counted.lingers(again)
        counted.works(again)
        opened(counted, 1)
        counted.trim()
        assert not again.dropped

    on_virtual_time(work)


def test_with_no_room_none_is_accepted_until_one_has_closed() -> None:
    async def work() -> None:
        counted = Connections(MOST, lambda _: 0)
        assert await counted.room() == AT_ONCE
        clients = opened(counted, MOST + AT_ONCE)
        for client in clients:
            counted.works(client)
        with anyio.move_on_after(100) as waiting:
            await counted.room()
        assert waiting.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counted.room)
            await anyio.sleep(1)
            counted.closed(clients[0])

    on_virtual_time(work)


def test_while_there_are_no_descriptors_it_says_so_once_a_minute_and_goes_on() -> None:
    async def work() -> None:
        tries: list[float] = []

        class Exhausted(Acceptor):
            async def _accept(self, room: int) -> list[Any]:
                tries.append(anyio.current_time())
                raise OSError(errno.EMFILE, "Too many open files") if room else AssertionError

        acceptor = Exhausted(cast("Any", None), Connections(MOST, lambda _: 0), cast("Any", None))
        with capture_logs() as logs, anyio.move_on_after(150):
            await acceptor.run()
        assert len(tries) > 100
        assert [(line["event"], line["error"]) for line in logs] == [
            ("connections.not_accepted", "[Errno 24] Too many open files")
        ] * 3
        assert sum(line["count"] for line in logs) > 100

    on_virtual_time(work)


@pytest.fixture
async def narrow(behind: FaultyBackend, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(connections, "AT_ONCE", 2)
    monkeypatch.setattr(connections, "_SETTLED_S", 0.0)
    async with serve(behind, UploadLimits(min_bytes_per_s=10**12), max_connections=MOST) as served:
        yield served


async def connected(served: Served, sent: bytes = b"\r\n") -> SocketStream:
    """Connect and send, and wait until the server has seen that."""
    stream = await anyio.connect_tcp(served.host, served.port)
    await stream.send(sent)
    own = stream.extra(SocketAttribute.local_address)
    await until(lambda: own in served.clients(), within_s=5, what="the connection")
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    return stream


async def is_open(stream: SocketStream) -> bool:
    with anyio.move_on_after(0.02):
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
    return True


async def test_silent_clients_keep_nobody_out_and_an_upload_under_way_stays(narrow: Served) -> None:
    with capture_logs() as logs:
        uploading = await connected(narrow, head(len(BODY)) + BODY[:-20])
        silent = [await connected(narrow) for _ in range(4 * MOST)]
        for _ in range(3):
            assert answers(await narrow.exchange(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [200]
        await uploading.send(BODY[-20:])
        assert answers(await uploading.receive()) == [201]
        assert not any([await is_open(stream) for stream in silent[: 3 * MOST]])
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["connections.dropped"]
    for stream in (uploading, *silent):
        await stream.aclose()
    await until(lambda: not narrow.connections(), within_s=5, what="the end of all connections")


async def test_uploads_that_trickle_on_all_connections_keep_nobody_out(
    narrow: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_JUDGED_AFTER_S", 0.0)
    monkeypatch.setattr(connections, "_SETTLED_S", 3600)
    trickling = [await connected(narrow, head(len(BODY)) + BODY[:-20]) for _ in range(MOST)]
    assert answers(await narrow.exchange(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [200]
    told = [await stream.receive() for stream in trickling[:1]]
    assert document(told[0])["code"] == "upload-too-slow"
    for stream in trickling:
        await stream.aclose()


async def test_a_client_that_does_not_take_its_answer_may_go(narrow: Served) -> None:
    deaf = await connected(narrow, GET * 20)
    for _ in range(2 * MOST):
        await (await connected(narrow)).aclose()
    keeping = [await connected(narrow, GET) for _ in range(MOST)]
    with within(5):
        while True:
            try:
                await deaf.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                break
    for stream in (deaf, *keeping):
        await stream.aclose()


async def test_a_client_that_sends_nothing_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_BYTE_S", 0.02)
    assert await served.exchange() == b""


async def test_a_head_that_does_not_end_in_time_is_told_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_HEAD_S", 0.02)
    monkeypatch.setattr(connection, "_LINGER_S", 0.02)
    with capture_logs() as logs:
        for sent in (b"G", GET[:-2]):
            answer = await served.exchange(sent)
            assert answers(answer)[-1] == 408
            assert b"request-timeout" in answer
    assert [line["count"] for line in logs if line["event"] == "connections.late_heads"] == [1]
    assert answers(await served.exchange(GET, half_close=True)) == [200]
    slow_body = multipart(('name="file"; filename="a.jpg"', JPEG))
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(head(len(slow_body)))
        await anyio.sleep(0.05)
        await stream.send(slow_body)
        assert answers(await stream.receive()) == [201]


async def test_a_connection_that_is_kept_alive_is_closed_in_the_end(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_KEEP_ALIVE_S", 0.02)
    assert answers(await served.exchange(GET)) == [200]

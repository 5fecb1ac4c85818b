"""Crowds at the door: thousands of silent connections, clients of a byte a second, small files by the thousand."""

from __future__ import annotations

import io
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest

from support.pictures import images
from support.servers.web import head, multipart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = [pytest.mark.measured, pytest.mark.parametrize("place", ["local"], indirect=True)]

LIMIT: Final = 1024
SILENT: Final = 5000
HONEST: Final = 60
SMALL: Final = 3000
AT_ONCE: Final = 64
OPENED_AT_ONCE: Final = 100


def form(body: bytes) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", io.BytesIO(body), filename="photo.jpg", content_type="image/jpeg")
    return data


async def uploaded(replica: Replica, session: aiohttp.ClientSession, body: bytes) -> tuple[int, float]:
    """Upload a file; return the status and the seconds that it took."""
    began = time.perf_counter()
    async with session.post(f"{replica.url}/upload", data=form(body)) as answer:
        await answer.read()
        return answer.status, time.perf_counter() - began


def p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def address(replica: Replica) -> tuple[str, int]:
    host, port = replica.url.removeprefix("http://").split(":")
    return host, int(port)


@asynccontextmanager
async def silent(replica: Replica, number: int) -> AsyncIterator[None]:
    """Keep so many connections on which nothing is sent."""
    streams: list[Any] = []
    turns = anyio.Semaphore(OPENED_AT_ONCE)

    async def connect() -> None:
        async with turns:
            streams.append(await anyio.connect_tcp(*address(replica)))

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(connect)
    try:
        yield
    finally:
        for stream in streams:
            await stream.aclose()


@asynccontextmanager
async def trickling(replica: Replica, number: int) -> AsyncIterator[None]:
    """Keep so many clients that send a large file at a byte a second, and come again when they are ended."""
    body = multipart(('name="file"; filename="a.jpg"', images.photo_jpeg(64, 48)))

    async def trickle() -> None:
        while True:
            with suppress(OSError, anyio.BrokenResourceError):
                async with await anyio.connect_tcp(*address(replica)) as stream:
                    await stream.send(head(25 << 20) + body[:100])
                    for byte in body[100:]:
                        await anyio.sleep(1)
                        await stream.send(bytes([byte]))
            await anyio.sleep(1)  # as Retry-After says

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(trickle)
        await anyio.sleep(3)
        yield
        tasks.cancel_scope.cancel()


async def test_5_000_silent_connections_cost_the_others_nothing(place: Place, at_most: AtMost) -> None:
    replica = await place.replica(open_files=LIMIT)
    async with silent(replica, SILENT):
        took = []
        for _ in range(20):
            began = time.perf_counter()
            async with aiohttp.ClientSession() as session, session.get(f"{replica.url}/readyz") as answer:
                assert answer.status == 200
            took.append(time.perf_counter() - began)
        ids = [await place.upload(replica, images.photo_jpeg(640, 480)) for _ in range(20)]
        for job_id in ids:
            assert (await place.finished(replica, job_id, within_s=20))["status"] == "done"
    lines = [line for line in replica.lines() if line["event"].startswith("connections.")]
    assert sum(line["count"] for line in lines)
    at_most("seconds of /readyz, the slowest of 20", max(took), 0.1)
    at_most("log lines of it", len(lines), 10)


@pytest.mark.parametrize("clients", [16, 1000])
async def test_clients_of_a_byte_a_second_shut_nobody_out(place: Place, clients: int, at_most: AtMost) -> None:
    replica = await place.replica(open_files=LIMIT)
    picture = images.photo_jpeg(1200, 900)
    results = []
    async with trickling(replica, clients), aiohttp.ClientSession() as session:
        for _ in range(HONEST):
            results.append(await uploaded(replica, session, picture))
            await anyio.sleep(0.05)
    assert {status for status, _ in results} == {201}
    at_most(f"p99 of uploads of {len(picture)} bytes, s", p99([seconds for _, seconds in results]), 2)


async def test_no_small_upload_of_thousands_is_refused(
    place: Place, at_most: AtMost, record_property: Callable[[str, object], None]
) -> None:
    replica = await place.replica(open_files=LIMIT, processes=1)
    replica.freeze_renders()  # the door alone
    picture = images.photo_jpeg(8, 8)[:644]
    results = []
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector) as session, anyio.create_task_group() as tasks:
        turns = anyio.Semaphore(AT_ONCE)

        async def upload() -> None:
            async with turns:
                results.append(await uploaded(replica, session, picture))

        for _ in range(SMALL):
            tasks.start_soon(upload)
    record_property("uploads a second", round(SMALL / (time.perf_counter() - began)))
    assert {status for status, _ in results} == {201}
    at_most(f"p99 of {SMALL} uploads of {len(picture)} bytes, s", p99([seconds for _, seconds in results]), 2)

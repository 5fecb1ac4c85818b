"""Metrics over HTTP: for administrators on the service's port, and on one of their own."""

from __future__ import annotations

import re
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from support.patience import within
from support.servers.web import JPEG, FaultyBackend, Served, form, open_faulty, serve
from thumbq.errors import SetupError
from thumbq.ports.observing import observed_by
from thumbq.telemetry.metrics import Metrics
from thumbq.web.app import UploadLimits
from thumbq.web.connections import AT_ONCE
from thumbq.web.metrics import _MOST_CONNECTIONS, serving_metrics
from thumbq.web.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FaultyBackend]:
    async with open_faulty(tmp_path) as behind:
        yield behind


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(queues=[""], routes=[route.path for route in ROUTES], version="1")


@pytest.fixture
async def served(behind: FaultyBackend, metrics: Metrics) -> AsyncIterator[Served]:
    with observed_by([metrics]):
        async with serve(behind, UploadLimits(), exposition=metrics) as served:
            yield served


async def get(served: Served, path: str = "/metrics") -> str:
    async with served.http.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.content_type == "text/plain"
        return await answer.text()


async def test_requests_and_files_are_counted_by_route_and_code(served: Served) -> None:
    data = form()
    data.add_field("file", JPEG, filename="cat.jpg")
    data.add_field("file", b"no picture at all", filename="dog.txt")
    async with served.http.post("/upload", data=data) as answer:
        assert answer.status == 207
    for number in range(5):
        async with served.http.get(f"/jobs/{number:026}") as answer:
            assert answer.status == 404
        async with served.http.get(f"/nothing/{number}") as answer:
            assert answer.status == 404
    text = await get(served)
    assert 'thumbq_http_requests_total{method="POST",route="/upload",status="207"} 1.0' in text
    assert 'thumbq_http_requests_total{method="GET",route="/jobs/{id}",status="404"} 5.0' in text
    assert 'thumbq_http_requests_total{method="GET",route="none",status="404"} 5.0' in text
    assert 'thumbq_uploads_total{code="",outcome="accepted"} 1.0' in text
    assert 'thumbq_uploads_total{code="unsupported-format",outcome="refused"} 1.0' in text
    assert f"thumbq_upload_bytes_total {float(len(JPEG))}" in text


async def test_requests_that_cannot_be_read_are_counted_once_each(served: Served) -> None:
    for head in (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"nonsense\r\n\r\n"):
        assert b" 400 " in await served.exchange(head)
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\nExpect: another\r\nConnection: close\r\n\r\n"
    assert b" 417 " in await served.exchange(head)
    text = await get(served)
    counted = re.findall(r"thumbq_http_requests_total\{.*route=\"(\S+)\",status=\"(\d+)\"\} (\S+)", text)
    assert sorted(counted) == [("/livez", "417", "1.0"), ("none", "400", "2.0")]


async def test_the_first_answer_again_is_counted_as_a_request_and_as_no_upload(served: Served) -> None:
    for replayed in (None, "true"):
        async with served.http.put("/upload/a.jpg", data=JPEG, headers={"Idempotency-Key": "once"}) as answer:
            assert answer.status == 201
            assert answer.headers.get("Idempotency-Replayed") == replayed
    text = await get(served)
    assert 'thumbq_http_requests_total{method="PUT",route="/upload/{filename}",status="201"} 2.0' in text
    assert 'thumbq_uploads_total{code="",outcome="accepted"} 1.0' in text


async def test_without_metrics_there_is_nothing_at_the_address(behind: FaultyBackend) -> None:
    async with serve(behind, UploadLimits()) as served, served.http.get("/metrics") as answer:
        assert answer.status == 404
        assert (await answer.json(content_type=None))["code"] == "no-metrics"


async def test_a_port_of_their_own_has_them_and_nothing_else(metrics: Metrics) -> None:
    async with (
        serving_metrics(metrics, "127.0.0.1", 0) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.address[1]}") as http,
    ):
        async with http.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/openmetrics-text"
            assert (await answer.text()).endswith("# EOF\n")
        for path in ("/", "/upload", "/jobs"):
            async with http.get(path) as answer:
                assert answer.status == 404


async def test_who_holds_connections_to_that_port_keeps_nobody_out(metrics: Metrics) -> None:
    async with serving_metrics(metrics, "127.0.0.1", 0) as server, AsyncExitStack() as held:
        address, most = server.address, _MOST_CONNECTIONS + AT_ONCE
        streams = [await held.enter_async_context(await anyio.connect_tcp(*address)) for _ in range(3 * most)]
        async with aiohttp.ClientSession(f"http://{address[0]}:{address[1]}") as http, http.get("/metrics") as answer:
            assert answer.status == 200
        for stream in streams[:-most]:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)), within(5):
                await stream.receive()


async def test_a_port_that_is_taken_is_told_with_what_to_do(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match="THUMBQ_METRICS_PORT"):
            async with serving_metrics(metrics, "127.0.0.1", port):
                pytest.fail("it listens")

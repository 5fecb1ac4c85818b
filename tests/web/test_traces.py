"""The span of a request: what it hangs on and says, and that uploads pass its trace on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanKind, StatusCode

from support.doubles.tracing import SENDER, TRACE_ID, attributes, links, parent_id, span_id, trace_id, traced
from support.servers.web import JPEG, FaultyBackend, Served, form, serve
from thumbq.core.tracecontext import TraceContext
from thumbq.errors import BackendUnavailable
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.doubles.tracing import Spans


@pytest.fixture
async def followed(behind: FaultyBackend) -> AsyncIterator[tuple[Served, Spans]]:
    with traced() as (_, spans):
        async with serve(behind, UploadLimits()) as served:
            yield served, spans


async def test_an_upload_is_part_of_its_clients_trace_and_passes_it_on(followed: tuple[Served, Spans]) -> None:
    served, spans = followed
    async with served.http.post("/upload?x=secret", data=form(("cat.jpg", JPEG)), headers=SENDER.values) as answer:
        assert answer.status == 201
    server, send = spans.one("POST /upload"), spans.one("send local")
    assert (server.kind, trace_id(server), parent_id(server)) == (SpanKind.SERVER, TRACE_ID, SENDER.ids[1])
    said = attributes(server)
    assert said.pop("user_agent.original")
    assert said == {
        "http.request.method": "POST",
        "http.route": "/upload",
        "http.response.status_code": 201,
        "url.path": "/upload",
        "url.scheme": "http",
        "server.address": served.host,
        "server.port": served.port,
        "client.address": "127.0.0.1",
    }
    assert [event.name for event in server.events] == ["uploaded"]
    assert (send.kind, parent_id(send), links(send)) == (SpanKind.PRODUCER, span_id(server), [])
    [message] = await served.behind.real.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    assert message.sender == TraceContext(f"00-{TRACE_ID}-{span_id(send)}-01", SENDER.state)
    assert attributes(send)["messaging.message.id"] == message.id


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense", "tracestate": "vendor=1"}])
async def test_a_request_without_a_trace_begins_one(followed: tuple[Served, Spans], headers: dict[str, str]) -> None:
    served, spans = followed
    for _ in range(2):  # on the same connection, and so in the same task
        async with served.http.get("/jobs", headers=headers) as answer:
            assert answer.status == 200
    one, other = spans.named("GET /jobs")
    assert (parent_id(one), parent_id(other)) == (None, None)
    assert trace_id(one) != trace_id(other)


async def test_a_trace_that_is_named_twice_is_none_and_states_are_taken_together(
    followed: tuple[Served, Spans],
) -> None:
    served, spans = followed
    one, other = SENDER.parent, SENDER.parent.replace("8", "9")
    for parents, states in (((one, other), ("a=1",)), ((one,), ("a=1", "b=2"))):
        headers = [*(("traceparent", parent) for parent in parents), *(("tracestate", state) for state in states)]
        async with served.http.get("/jobs", headers=headers) as answer:
            assert answer.status == 200
    twice, once = spans.named("GET /jobs")
    assert parent_id(twice) is None
    assert parent_id(once) == SENDER.ids[1]
    assert once.context is not None
    assert once.context.trace_state.to_header() == "a=1,b=2"


async def test_what_a_client_sends_can_be_exported_and_is_no_line_of_the_log(
    followed: tuple[Served, Spans], caplog: pytest.LogCaptureFixture
) -> None:
    served, spans = followed
    lines = (b"GET /jobs HTTP/1.1", b"Host: a\xffb", b"User-Agent: c\xff", b"Connection: close", b"tracestate: =")
    await served.exchange(b"\r\n".join((*lines, f"traceparent: {SENDER.parent}".encode(), b"", b"")))
    said = attributes(spans.one("GET /jobs"))
    assert (said["server.address"], said["user_agent.original"]) == ("a?b", "c?")
    encode_spans(spans.all())
    assert caplog.messages == []


async def test_a_fault_of_ours_is_an_error_and_one_of_the_client_is_none(followed: tuple[Served, Spans]) -> None:
    served, spans = followed
    assert (await served.post(("cat.txt", b"no image")))[0] == 415
    served.behind.store.errors["put"] = BackendUnavailable("away")
    assert (await served.post(("cat.jpg", JPEG)))[0] == 503
    refused, failed = spans.named("POST /upload")
    assert (refused.status.status_code, "error.type" in attributes(refused)) == (StatusCode.UNSET, False)
    assert attributes(refused)["thumbq.code"] == "unsupported-format"
    assert (failed.status.status_code, attributes(failed)["error.type"]) == (StatusCode.ERROR, "503")


async def test_an_address_that_there_is_not_and_probes_make_no_names(followed: tuple[Served, Spans]) -> None:
    served, spans = followed
    for path in ("/livez", "/readyz", "/no/such/thing"):
        async with served.http.get(path):
            pass
    async with served.http.request("PROPFIND", "/upload"):
        pass
    assert spans.names() == ["GET", "HTTP"]
    assert attributes(spans.one("HTTP"))["http.request.method_original"] == "PROPFIND"

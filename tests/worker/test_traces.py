"""The trace of a message: what is followed of it, what it hangs on, and that its dead letter and redrive keep it."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING

import pytest
import structlog
from opentelemetry.trace import SpanKind, StatusCode

from support.doubles.clocks import SystemClock
from support.doubles.consuming import KEY, consuming, put, settled, upload
from support.doubles.rendering import FakeRenderer
from support.doubles.tracing import SENDER, TRACE_ID, attributes, links, parent_id, span_id, trace_id, traced
from support.figures import median_of_pairs
from thumbq.deadletters.redrive import redrive_each
from thumbq.errors import RenderRefused, RenderUnavailable
from thumbq.ports.observing import observed_by
from thumbq.ports.tracing import UNFOLLOWED, copying, followed_by, trace_at_work
from thumbq.telemetry import logs
from thumbq.telemetry.traces import Traces

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import ReadableSpan

    from support.doubles.tracing import Spans
    from support.figures import AtMost
    from thumbq.core.manifest import Manifest
    from thumbq.core.tracecontext import TraceContext
    from thumbq.ports import Backend
    from thumbq.ports.observing import Happened
    from thumbq.ports.tracing import Note, Work
    from thumbq.telemetry.tracer import OtelTracer


async def test_a_message_is_processed_in_its_senders_trace_and_linked_to_it(backend: Backend) -> None:
    with copying(SENDER):
        await upload(backend)
    with traced() as (_, spans):
        async with consuming(backend, FakeRenderer(1.0)):
            await settled(backend)
    assert spans.names() == ["fetch", "render", "store", "ack local", "process local"]
    process = spans.one("process local")
    assert process.kind is SpanKind.CONSUMER
    assert (trace_id(process), parent_id(process)) == (TRACE_ID, SENDER.ids[1])
    assert links(process) == [SENDER.ids[:2]]
    said = attributes(process)
    message_id = said.pop("messaging.message.id")
    assert said == {
        "messaging.system": "thumbq",
        "messaging.destination.name": "local",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "thumbq.receive_count": 1,
        "thumbq.disposition": "delete",
    }
    assert process.status.status_code is StatusCode.UNSET
    [attempted] = process.events
    assert attempted.name == "attempted"
    assert dict(attempted.attributes or {}) == {"thumbq.ending": "done", "thumbq.key": KEY}
    for stage in ("fetch", "render", "store"):
        span = spans.one(stage)
        assert (span.kind, parent_id(span), trace_id(span)) == (SpanKind.INTERNAL, span_id(process), TRACE_ID)
    assert attributes(spans.one("fetch")) == {"thumbq.queue": "local", "thumbq.key": KEY, "thumbq.size": 8}
    ack = spans.one("ack local")
    assert (ack.kind, attributes(ack)["messaging.operation.type"]) == (SpanKind.CLIENT, "settle")
    assert attributes(ack)["messaging.message.id"] == message_id


async def test_a_message_of_nobody_begins_a_trace(backend: Backend) -> None:
    await upload(backend)
    with traced() as (_, spans):
        async with consuming(backend, FakeRenderer()):
            await settled(backend)
    process = spans.one("process local")
    assert (parent_id(process), links(process)) == (None, [])
    assert {trace_id(span) for span in spans.all()} == {trace_id(process)}


async def test_what_is_sent_while_a_message_is_processed_is_sent_in_its_trace(backend: Backend) -> None:
    class Sending:
        async def announce(self, manifest: Manifest, *, attempt: int) -> None:
            assert attempt >= 1
            await backend.queue.send(json.dumps({"told": manifest.source.key}))

    with copying(SENDER):
        await upload(backend)
    with traced() as (_, spans):
        async with consuming(backend, FakeRenderer(), announcers=[Sending()]):
            await settled(backend, dead=1)
    send, process = spans.one("send local"), spans.named("process local")[0]
    assert (send.kind, parent_id(send), trace_id(send)) == (SpanKind.PRODUCER, span_id(process), TRACE_ID)
    assert attributes(send)["messaging.operation.type"] == "send"
    told = spans.named("process local")[1]
    assert (parent_id(told), links(told)) == (span_id(send), [(TRACE_ID, span_id(send))])
    assert attributes(told)["messaging.message.id"] == attributes(send)["messaging.message.id"]


async def test_a_failure_is_one_and_has_its_code(backend: Backend) -> None:
    await upload(backend)
    with traced() as (_, spans):
        async with consuming(backend, FakeRenderer(RenderUnavailable("no process"), RenderRefused("corrupt", "no"))):
            await settled(backend, dead=1, within_s=60)
    retried, failed = spans.named("process local")
    assert [span.status.status_code for span in (retried, failed)] == [StatusCode.ERROR] * 2
    assert [attributes(span)["error.type"] for span in (retried, failed)] == ["retried", "corrupt"]
    assert [attributes(span)["thumbq.disposition"] for span in (retried, failed)] == ["release", "bury"]


async def buried_and_redriven(backend: Backend, spans: Spans) -> tuple[ReadableSpan, ReadableSpan]:
    """Return the spans of the message that was buried, and of the one that was redriven by a command without traces."""
    assert backend.dead_letters is not None
    async with consuming(backend, FakeRenderer(RenderRefused("corrupt", "no picture"))):
        await settled(backend, dead=1)
        with followed_by(None):
            await redrive_each(backend, backend.dead_letters, rate=None, report=print)
        await settled(backend)
    first, again = spans.named("process local")
    assert attributes(first)["messaging.message.id"] != attributes(again)["messaging.message.id"]
    return first, again


async def test_burial_and_redrive_keep_the_trace_of_the_sender(backend: Backend) -> None:
    with copying(SENDER):
        await upload(backend)
    with traced() as (_, spans):
        first, again = await buried_and_redriven(backend, spans)
    for process in (first, again):
        assert (trace_id(process), parent_id(process), links(process)) == (TRACE_ID, SENDER.ids[1], [SENDER.ids[:2]])
    bury = spans.one("send dead letters of local")
    # What travels on is the sender's own context, which is the producer's: this one only sends it.
    assert (bury.kind, parent_id(bury), links(bury)) == (SpanKind.CLIENT, span_id(first), [SENDER.ids[:2]])


async def test_burial_and_redrive_keep_the_trace_that_a_message_of_nobody_began(backend: Backend) -> None:
    await put(backend, "photos/cat.jpg")
    await backend.queue.send("photos/cat.jpg")
    with traced() as (_, spans):
        first, again = await buried_and_redriven(backend, spans)
    assert trace_id(again) == trace_id(first)


async def test_a_body_that_leaves_no_room_for_its_trace_is_cut_and_keeps_it(backend: Backend) -> None:
    assert backend.dead_letters is not None
    body = json.dumps({"strange": "x" * (backend.dead_letters.max_bytes - 500)})
    with copying(SENDER):
        await backend.queue.send(body)
    async with consuming(backend, FakeRenderer()):
        await settled(backend, dead=1)
    [letter] = await backend.dead_letters.receive(max_messages=1, wait_s=0, visibility_timeout_s=30)
    assert letter.sender == SENDER


async def test_a_message_that_is_not_sampled_makes_no_spans_and_says_so_to_the_next(backend: Backend) -> None:
    seen: list[str] = []

    class Looking:
        async def announce(self, _: Manifest, *, attempt: int) -> None:
            assert attempt >= 1
            trace = trace_at_work()
            assert trace is not None
            seen.append(trace.parent)

    with copying(SENDER._replace(parent=f"{SENDER.parent[:-1]}0")):
        await upload(backend)
    with traced() as (traces, spans):
        async with consuming(backend, FakeRenderer(), announcers=[Looking()]):
            await settled(backend)
        assert traces.trace_id() is None
    assert spans.all() == []
    [parent] = seen
    assert parent.startswith(f"00-{TRACE_ID}-")
    assert parent.endswith("-00")


async def test_lines_of_the_log_name_the_trace_while_there_is_one(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = structlog.get_config()
    logs.configure("info")
    try:
        with copying(SENDER):
            await upload(backend)
        with traced() as (_, spans):
            async with consuming(backend, FakeRenderer()):
                await settled(backend)
        structlog.get_logger().info("outside")
    finally:
        structlog.configure(**kept)
    lines = {line["event"]: line for line in map(json.loads, capsys.readouterr().err.splitlines())}
    assert lines["job.done"]["trace_id"] == TRACE_ID
    assert lines["job.done"]["span_id"] == span_id(spans.one("process local"))
    assert not {"trace_id", "span_id"} & lines["outside"].keys()


class Switched:
    """Follows while it is on."""

    def __init__(self, tracer: OtelTracer) -> None:
        self._tracer = tracer
        self.on = False

    def during(self, work: Work) -> AbstractContextManager[Note]:
        return self._tracer.during(work) if self.on else UNFOLLOWED

    def trace(self) -> TraceContext | None:
        return self._tracer.trace() if self.on else None

    def observe(self, happened: Happened) -> None:
        if self.on:
            self._tracer.observe(happened)


@pytest.mark.measured
async def test_what_traces_take_of_a_job_in_a_consumer(backend: Backend, at_most: AtMost) -> None:
    """In pairs of blocks of jobs, with spans and without, and no exporter: at most 8 % of a tiny job's 4.5 ms."""
    traces = Traces(system="thumbq", queues={"": "local"}, replica="one", version="1", exported=False)
    switched = Switched(traces.tracer)

    async def us_a_job(on: bool) -> float:  # noqa: FBT001
        switched.on = on
        began = time.thread_time()
        for _ in range(50):
            await upload(backend, f"{secrets.token_hex(8)}.jpg")
        await settled(backend, within_s=1000)
        return (time.thread_time() - began) / 50 * 1e6

    with observed_by([switched]), followed_by(switched):
        async with consuming(backend, FakeRenderer(), SystemClock()):
            found = await median_of_pairs(us_a_job, 30)
    at_most("traces of a job, in us of CPU time, median of 30 pairs", found, 360)

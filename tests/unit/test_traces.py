"""Whether there are traces, what they are of, and that nothing waits for them."""

from __future__ import annotations

import json
import logging
import sys
import threading
import timeit
from types import SimpleNamespace
from typing import TYPE_CHECKING

import anyio
import pytest
import structlog
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.doubles.tracing import SENDER, TRACE_ID, attributes, traced
from support.patience import within
from thumbq.observation import make_traces
from thumbq.ports.observing import STAGES, Attempted, Called, StageEnded, emit, observed_by
from thumbq.ports.tracing import Asking, Handling, InStage, Sending, during, followed_by, trace_to_send
from thumbq.settings import Settings
from thumbq.telemetry import logs
from thumbq.telemetry.metrics import Metrics
from thumbq.telemetry.traces import Traces
from thumbq.telemetry.traceswitch import open_traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from support.figures import AtMost

ENDPOINT = "http://127.0.0.1:9"
HANDLING = Handling("", "m-1", 1, SENDER)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


def opened() -> Traces | None:
    return open_traces(system="thumbq", queues={}, replica="host-1", version="1.2")


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
async def test_an_endpoint_switches_traces_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert opened() is None
    monkeypatch.setenv(name, ENDPOINT)
    traces = opened()
    assert traces is not None
    await traces.close(within_s=10)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert opened() is None


@pytest.mark.parametrize(
    ("variables", "problem", "fix"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'", "otlp or none"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not sent by 'grpc'", "4318"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "cannot be set up", "OTEL_"),
    ],
)
def test_what_is_not_known_here_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    problem: str,
    fix: str,
) -> None:
    for name, value in (variables | {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}).items():
        monkeypatch.setenv(name, value)
    assert opened() is None
    [line] = [line for line in capsys.readouterr().out.splitlines() if "traces.off" in line]
    assert problem in line
    assert fix in line


def test_the_missing_extra_is_one_warning_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not there
    assert opened() is None
    [line] = [line for line in capsys.readouterr().out.splitlines() if "traces.off" in line]
    assert "pip install 'thumbq[otel]'" in line


def test_libraries_that_do_not_go_together_keep_no_service_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise TypeError("Descriptors cannot be created directly.")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setattr("thumbq.telemetry.traces.BatchSpanProcessor", fails)
    assert opened() is None
    [line] = [line for line in capsys.readouterr().out.splitlines() if "traces.off" in line]
    assert "Descriptors cannot be created" in line
    assert "pip install --upgrade 'thumbq[otel]'" in line


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "thumbq"),
        ({"OTEL_SERVICE_NAME": "pictures"}, "pictures"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,service.instance.id=own"}, "shop"),
    ],
)
def test_spans_name_the_service_and_the_replica(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], service: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with traced() as (_, spans), during(HANDLING):
        pass
    [span] = spans.all()
    said = span.resource.attributes
    assert said["service.name"] == service
    assert said["service.instance.id"] == ("own" if service == "shop" else "one")
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("photo-jobs", "photo-jobs"),
        ("https://sqs.us-east-2.amazonaws.com/123456789012/photo-jobs", "photo-jobs"),
        ("arn:aws:sqs:us-east-2:123456789012:photo-jobs.fifo", "photo-jobs.fifo"),
    ],
)
def test_spans_have_the_queues_own_name(monkeypatch: pytest.MonkeyPatch, queue: str, name: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    traces = make_traces(Settings(bucket="photos", queue=queue), "host-1")
    assert traces is not None
    exporter = InMemorySpanExporter()
    traces.export_by(SimpleSpanProcessor(exporter))
    with followed_by(traces.tracer), during(HANDLING):
        pass
    [span] = exporter.get_finished_spans()
    assert (span.name, attributes(span)["messaging.system"]) == (f"process {name}", "aws_sqs")


def test_the_sampler_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with traced() as (traces, spans), during(HANDLING):
        assert traces.trace_id() is None
        sent = trace_to_send()
    assert sent is not None
    assert (sent.ids[0], sent.ids[2]) == (TRACE_ID, 0)
    assert spans.all() == []


def test_what_belongs_to_no_request_and_no_message_has_no_span() -> None:
    with traced() as (_, spans):
        for work in (Sending("jobs"), InStage("fetch", ""), Asking("GetObject", "b", "k")):
            with during(work) as note:
                note(message_id="m")
                assert trace_to_send() is None
    assert spans.all() == []


def test_the_limits_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "12")
    with traced() as (_, spans), during(Handling("", "m" * 100, 1, None)):
        for number in range(130):
            emit(Attempted("", "done", 1.0, 0.0, key=f"photos/{number}/a-long-name.jpg"))
    [span] = spans.all()
    assert attributes(span)["messaging.message.id"] == "m" * 12
    assert (len(span.events), span.dropped_events) == (128, 2)
    assert (span.events[0].attributes or {})["thumbq.key"] == "photos/2/a-l"


def test_the_status_of_a_request_to_s3_is_that_of_its_own_span_only() -> None:
    with traced() as (_, spans), during(HANDLING):
        emit(Called("s3", "GET", 404))  # as a probe's, which has no span
        with during(Asking("GetObject", "b", "k")):
            emit(Called("s3", "GET", 503))  # which is tried again
            emit(Called("s3", "GET", 200, {"x-amz-request-id": "C9ER4AJX75574TDJ", "x-amz-id-2": "wzHcyEWfmOGDIE5Q"}))
    asking, handling = spans.all()
    assert attributes(asking) == {
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": "GetObject",
        "aws.s3.bucket": "b",
        "aws.s3.key": "k",
        "aws.request_id": "C9ER4AJX75574TDJ",
        "aws.extended_request_id": "wzHcyEWfmOGDIE5Q",
        "http.response.status_code": 200,
    }
    assert "http.response.status_code" not in attributes(handling)


def test_histograms_have_the_trace_as_an_exemplar() -> None:
    with traced() as (traces, _):
        metrics = Metrics(queues=[""], routes=[], version="1", trace_id=traces.trace_id)
        with observed_by([metrics]), during(HANDLING):
            emit(StageEnded("render", "", 0.2))
    text = metrics.expose("application/openmetrics-text; version=1.0.0")[0].decode()
    assert f'# {{trace_id="{TRACE_ID}"}} 0.2' in text


class Hanging(SpanExporter):
    """Exports nothing, and takes for ever."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        self.asked.set()
        self.over.wait()
        return SpanExportResult.FAILURE


async def test_nobody_waits_for_a_collector_that_hangs() -> None:
    exporter = Hanging()
    with traced() as (traces, spans):
        traces.export_by(BatchSpanProcessor(exporter, max_queue_size=10, max_export_batch_size=5))
        try:
            with within(20):
                for _ in range(1000):  # far more than wait in the queue
                    with during(HANDLING):
                        pass
                await anyio.to_thread.run_sync(exporter.asked.wait)
                before = set(threading.enumerate())
                for _ in range(5):  # on Lambda one for each batch
                    await traces.flush(within_s=0.01)
                assert [thread.name for thread in {*threading.enumerate()} - before] == ["traces"]
                await traces.close(within_s=0.01)
        finally:
            exporter.over.set()
    assert len(spans.all()) == 1000


def test_a_collector_that_stays_away_is_one_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("thumbq.telemetry.logs.time", SimpleNamespace(monotonic=lambda: clock[0]))
    kept = structlog.get_config()
    logs.configure("info")
    try:
        exporting = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        for clock[0] in (1000.0, 1001.0, 1059.0, 1060.0):
            exporting.warning("Transient error %s", "x" * 1000)
        logging.getLogger("aiohttp").warning("as ever")
    finally:
        structlog.configure(**kept)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("count")) for line in lines] == [
        *(("traces.not_sent", 1), ("traces.not_sent", 3)),
        ("as ever", None),
    ]
    assert lines[0]["error"].startswith("Transient error xxx")
    assert len(lines[0]["error"]) == 300


async def test_an_end_in_time_has_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    traces = Traces(system="thumbq", queues={}, replica="one", version="1", exported=True)
    await traces.close(within_s=60)
    assert caplog.messages == []


@pytest.mark.measured
def test_what_following_takes_of_a_job(at_most: AtMost) -> None:
    """At most 3 % of a tiny job's 5 ms of CPU time, and so less than 1 % of a camera's 40 ms (docs/benchmark.md)."""
    requests: dict[str, Sequence[str]] = {"fetch": ["GetObject"], "render": [], "store": ["PutObject"], "ack": []}

    def one_job() -> None:
        with during(HANDLING) as note:
            for stage in STAGES[1:]:
                with during(InStage(stage, "", "uploads/0")) as size:
                    for operation in requests[stage]:
                        with during(Asking(operation, "bucket", "uploads/0")):
                            emit(Called("s3", "GET", 200))
                    size(size=1_000)
            with during(Asking("PutObject", "bucket", "manifests/uploads/0.json")):
                emit(Called("s3", "PUT", 200))
            emit(Attempted("", "done", 1.0, 0.0))
            note(disposition="delete")

    def us_a_job() -> float:
        return min(timeit.repeat(one_job, number=1_000, repeat=5)) / 1_000 * 1e6

    at_most("a job's eight pieces of work when nobody follows, in us of CPU time", us_a_job(), 15)
    traces = Traces(system="thumbq", queues={"": "jobs"}, replica="one", version="1", exported=False)
    with observed_by([traces.tracer]), followed_by(traces.tracer):
        at_most("the same with a span for each, in us of CPU time", us_a_job(), 150)

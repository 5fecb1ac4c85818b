"""The metrics of a replica: their names are as Prometheus wants them, and there is never one more than planned."""

from __future__ import annotations

import secrets
import subprocess
import sys
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from support import documents, tables
from support.doubles.observing import EVERYTHING
from support.promtool import promtool
from thumbq.core import callbackmessage
from thumbq.core.retry import JOB_CODES
from thumbq.observation import Observation
from thumbq.ports import QueueCounts
from thumbq.ports.observing import (
    CAUSES,
    Answered,
    Attempted,
    Called,
    ProcessReplaced,
    StageEnded,
    Told,
    Uploaded,
    emit,
    observed_by,
)
from thumbq.process import SystemClock
from thumbq.settings import Settings
from thumbq.telemetry.families import FAMILIES, PREFIX
from thumbq.telemetry.metrics import Metrics
from thumbq.telemetry.state import ReplicaState
from thumbq.web.problems import STATUSES

if TYPE_CHECKING:
    from typing import Any

    from support.figures import AtMost

TEXT: Final = "text/plain"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"
STATE: Final = ReplicaState(
    in_flight={"": 3},
    places={"": 14},
    held={"originals": 4096, "uploads": 0},
    waiting={"render": 1, "upload": 0, "news": 2},
    away={None: True, "": False},
    paused={"": True},
    counts={"": QueueCounts(visible=5, in_flight=3, delayed=1, dead=2)},
    loop_lag_s=0.01,
)


def metrics() -> Metrics:
    made = Metrics(queues=["", callbackmessage.QUEUE], routes=["/upload"], version="1", events=True)
    made.reads(lambda: STATE)
    return made


def samples(of: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(of.expose(TEXT)[0].decode())
        for sample in family.samples
    }


def test_prometheus_own_tool_has_nothing_to_say_of_them_after_everything_that_can_happen() -> None:
    made = metrics()
    for code in STATUSES:
        made.observe(Uploaded(code))
    for code in JOB_CODES:
        made.observe(Attempted("", "failed", 0.0, None, code=code))
    for cause in CAUSES:
        made.observe(ProcessReplaced(cause))
    for happened in EVERYTHING:
        made.observe(happened)
    assert 'code="other"' not in made.expose(TEXT)[0].decode()
    body, _ = made.expose(TEXT)
    assert promtool("check", "metrics", stdin=body) == ""


def test_each_metric_is_there_after_everything_that_can_happen_and_no_other_is() -> None:
    made = metrics()
    for happened in EVERYTHING:
        made.observe(happened)
    names = {name for name, *_ in samples(made)}
    expected = {
        PREFIX + family.name + ending
        for family in FAMILIES
        for ending in (("_bucket", "_count", "_sum") if family.kind == "histogram" else ("",))
    }
    assert names == expected


def test_what_happens_is_counted_under_its_labels() -> None:
    made = metrics()
    for happened in EVERYTHING:
        made.observe(happened)
    found = samples(made)
    assert found["thumbq_jobs_total", "corrupt", "default", "failed"] == 1
    assert found["thumbq_http_requests_total", "404", "none", "other"] == 1
    assert found["thumbq_notifications_total", "10+", "callback", "given-up"] == 1
    assert found["thumbq_aws_requests_total", "2xx", "PUT", "s3"] == 1
    assert found["thumbq_aws_requests_total", "GET", "none", "s3"] == 1
    assert found["thumbq_heartbeats_failed_total", "default"] == 10
    assert found["thumbq_leases_lost_total", "default"] == 1
    assert found["thumbq_leases_lost_total", callbackmessage.QUEUE] == 0
    assert found["thumbq_paused", "default"] == 1
    assert found["thumbq_fetched_bytes_total", "default"] == found["thumbq_stored_bytes_total", "default"] == 300
    assert found["thumbq_outage", "", "store"] == 1
    assert found["thumbq_outage", "default", "queue"] == 0
    assert found["thumbq_queue_messages", "dead", "default"] == 2


def test_strangers_make_no_series() -> None:
    made = metrics()
    for happened in EVERYTHING:
        made.observe(happened)
    before = samples(made).keys()
    for _ in range(10_000):
        key = secrets.token_hex(8)
        made.observe(Attempted("", "done", 0.0, None))
        made.observe(StageEnded("render", "", 0.1))
        made.observe(Answered(f"/jobs/{key}", key, 404, 0.1, 0, 0))
        made.observe(Uploaded(None, 1))
        made.observe(Attempted("", "failed", 0.0, None, code=key))
        made.observe(Attempted(key, "done", 0.0, None))
        made.observe(Told("callback", "failed", 1 + secrets.randbelow(1000)))
    # What no settings and no code have named is one series each: other queues, codes, routes and methods.
    new = samples(made).keys() - before
    assert {("thumbq_jobs_total", "", "done", "other"), ("thumbq_jobs_total", "default", "failed", "other")} < new
    assert {name for name, *_ in new} == {
        "thumbq_jobs_total",
        "thumbq_http_requests_total",
        *(f"thumbq_http_request_duration_seconds_{ending}" for ending in ("bucket", "count", "sum")),
    }
    assert len([name for name, *_ in new if not name.endswith("_bucket")]) == 5


def test_even_a_bug_makes_a_bounded_number_of_series() -> None:
    made = metrics()
    before = len(samples(made))
    for _ in range(1000):
        made.observe(Called("s3", secrets.token_hex(8), 200))
        made.observe(Uploaded(secrets.token_hex(8)))
    assert len(samples(made)) - before <= 2 * 101


def test_who_asks_for_open_metrics_gets_exemplars_and_no_times_of_creation() -> None:
    made = Metrics(queues=[""], routes=["/upload"], version="1", trace_id=lambda: "0af7651916cd43dd8448eb211c80319c")
    made.observe(StageEnded("render", "", 0.2))
    body, content_type = made.expose(OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert b'# {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.2' in body
    assert b"_created" not in body
    assert body.endswith(b"# EOF\n")


def test_observers_are_those_of_the_context() -> None:
    made = metrics()
    emit(EVERYTHING[0])
    with observed_by([made]):
        emit(EVERYTHING[0])
    emit(EVERYTHING[0])
    assert samples(made)["thumbq_jobs_total", "", "default", "done"] == 1


def test_observers_of_a_context_inside_another_are_told_besides() -> None:
    outer, inner = metrics(), metrics()
    with observed_by([outer]):
        with observed_by([inner]):
            emit(EVERYTHING[0])
        emit(EVERYTHING[0])
    key = ("thumbq_jobs_total", "", "default", "done")
    assert (samples(outer)[key], samples(inner)[key]) == (2, 1)


@pytest.mark.measured
def test_what_counting_takes_of_a_job(at_most: AtMost) -> None:
    """At most 1 % of a tiny job's 5 ms of CPU time, and 0.1 % of a camera's 40 ms (docs/benchmark.md)."""
    made = metrics()

    def one_job() -> None:
        emit(StageEnded("wait", "", 0.1))
        emit(Called("s3", "GET", 200))
        emit(StageEnded("fetch", "", 0.1, 1_000_000))
        emit(StageEnded("render", "", 0.1))
        emit(Called("s3", "PUT", 200))
        emit(Called("s3", "PUT", 200))
        emit(StageEnded("store", "", 0.1, 1_000))
        emit(Attempted("", "done", 1.0, 0.0))
        emit(StageEnded("ack", "", 0.1))

    def us_a_job() -> float:
        return min(timeit.repeat(one_job, number=5_000, repeat=5)) / 5_000 * 1e6

    at_most("a job's nine things when nobody counts, in us of CPU time", us_a_job(), 15)
    with observed_by([made]):
        at_most("the same counted for Prometheus, in us of CPU time", us_a_job(), 45)


def test_metrics_are_counted_only_where_they_are_asked_for() -> None:
    def exposition(**settings: Any) -> object:
        return Observation(Settings(local=Path("there"), **settings), SystemClock(), replica="one").exposition

    assert exposition() is exposition(emf=True) is None
    assert exposition(metrics=True) is not None
    assert exposition(metrics_port=0) is not None


def test_a_port_for_metrics_that_is_the_services_own_is_refused() -> None:
    with pytest.raises(ValidationError, match="THUMBQ_METRICS_PORT and THUMBQ_PORT are both 8080"):
        Settings.model_validate({"local": "there", "metrics_port": 8080})
    assert Settings(port=0, metrics_port=0).metrics_port == 0


def test_what_is_off_is_not_loaded() -> None:
    program = (
        "import sys\n"
        "from thumbq import service\n"
        "from thumbq.observation import Observation\n"
        "from thumbq.process import SystemClock\n"
        "from thumbq.settings import Settings\n"
        "Observation(Settings(local='there'), SystemClock(), replica='one')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('prometheus_client', 'opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_the_document_has_the_table() -> None:
    assert tables.of_metrics() in documents.text(documents.METRICS), tables.of_metrics()

"""Alerts and the dashboard: each name in them exists, and each alert fires when it should and not before."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from support.promtool import promtool
from thumbq.core import callbackmessage
from thumbq.core.retry import CUSTOMERS_CODES
from thumbq.telemetry.families import BY_NAME, PREFIX
from thumbq.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD: Final = DEPLOY / "grafana" / "thumbq.json"
RULES: Final[dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
BUILT: Final = {'thumbq_build_info{version="1"}': "1x60"}
REFUSED: Final = 'thumbq_http_requests_total{route="/upload", status="503"}'
TAKEN: Final = 'thumbq_http_requests_total{route="/upload", status="201"}'
EVAL_TIMES: Final = {"ThumbqQueuePaused": "90m"}
WAITS: Final = 'thumbq_stage_duration_seconds_bucket{queue="q", stage="wait", le="%s"}'


@dataclass(frozen=True)
class Example:
    """Series, a value a minute, that have an alert fire at its time, with these labels, and that do not."""

    fires: dict[str, str]
    silent: dict[str, str]
    labels: dict[str, str]


def example(fires: dict[str, str], silent: dict[str, str], **labels: str) -> Example:
    return Example(fires, silent, labels)


def visible(queue: str, values: str) -> dict[str, str]:
    return {f'thumbq_queue_messages{{queue="{queue}", state="visible"}}': values}


def ended(outcome: str, code: str, values: str) -> dict[str, str]:
    return {f'thumbq_jobs_total{{queue="q", outcome="{outcome}", code="{code}"}}': values}


def told(by: str, outcome: str, values: str) -> dict[str, str]:
    return {f'thumbq_notifications_total{{by="{by}", outcome="{outcome}", attempt="1"}}': values}


EXAMPLES: Final = {
    "ThumbqTellsNothing": example({}, BUILT),
    "ThumbqStoreOutage": example({'thumbq_outage{part="store"}': "1x60"}, {'thumbq_outage{part="store"}': "0x28 1 0"}),
    "ThumbqQueueOutage": example(
        {'thumbq_outage{part="queue", queue="q"}': "1x60"},
        {'thumbq_outage{part="queue", queue="q"}': "0x60"},
        queue="q",
    ),
    "ThumbqOwnDeadLetters": example(
        ended("failed", "attempts-exhausted", "0x25 1x30"),
        ended("failed", "corrupt", "0+1x60") | ended("done", "", "0+9x60"),
        queue="q",
        code="attempts-exhausted",
    ),
    "ThumbqQueueStands": example(
        visible("q", "7x60") | ended("done", "", "5x60") | {'thumbq_paused{queue="q"}': "0x60"},
        visible("q", "7x60") | ended("done", "", "0+1x60"),
        queue="q",
    ),
    "ThumbqQueuePaused": example(
        {'thumbq_paused{queue="q"}': "1x100"}, {'thumbq_paused{queue="q"}': "0x50 1x50"}, queue="q"
    ),
    "ThumbqJobsWait": example(
        {WAITS % "300": "0x60", WAITS % "1800": "0+9x60", WAITS % "+Inf": "0+9x60"},
        {WAITS % "300": "0+9x60", WAITS % "1800": "0+9x60", WAITS % "+Inf": "0+9x60"},
        queue="q",
    ),
    "ThumbqRequestsRefused": example({REFUSED: "0+10x60", TAKEN: "0+90x60"}, {REFUSED: "0+1x60", TAKEN: "0+99x60"}),
    "ThumbqCallbacksWait": example(visible("webhooks", "1001x60"), visible("webhooks", "1000x60")),
    "ThumbqCallbacksGivenUp": example(told("callback", "given-up", "0+1x60"), told("callback", "failed", "0+9x60")),
    "ThumbqEventsFail": example(told("event", "failed", "0+1x60"), told("event", "done", "0+1x60")),
    "ThumbqRenderProcessesDie": example(
        {'thumbq_render_processes_replaced_total{cause="render-crashed"}': "0+2x60"},
        {'thumbq_render_processes_replaced_total{cause="recycled"}': "0+9x60"},
    ),
    "ThumbqLeasesLost": example(
        {'thumbq_leases_lost_total{queue="q"}': "0+1x60"},
        {'thumbq_leases_lost_total{queue="q"}': "0+0.1x60"},
        queue="q",
    ),
    "ThumbqEventLoopLags": example(
        {"thumbq_event_loop_lag_seconds": "2x60"}, {"thumbq_event_loop_lag_seconds": "0.5x60"}
    ),
}


def case(alert: str, series: dict[str, str], expected: list[dict[str, Any]]) -> dict[str, Any]:
    others = {} if alert == "ThumbqTellsNothing" else BUILT
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in (others | series).items()],
        "alert_rule_test": [{"eval_time": EVAL_TIMES.get(alert, "30m"), "alertname": alert, "exp_alerts": expected}],
    }


def run(directory: Path, tests: list[dict[str, Any]]) -> None:
    file = directory / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", str(file))


def test_each_alert_fires_and_stays_silent(tmp_path: Path) -> None:
    assert EXAMPLES.keys() == RULES.keys()
    tests: list[dict[str, Any]] = []
    for alert, shown in EXAMPLES.items():
        rule = RULES[alert]
        fired = {"exp_labels": rule["labels"] | shown.labels, "exp_annotations": rule["annotations"]}
        tests += [case(alert, shown.fires, [fired]), case(alert, shown.silent, [])]
    run(tmp_path, tests)


def test_a_paused_queue_that_stands_is_no_reason_to_wake_anybody(tmp_path: Path) -> None:
    standing = EXAMPLES["ThumbqQueueStands"].fires | {'thumbq_paused{queue="q"}': "1x60"}
    run(tmp_path, [case("ThumbqQueueStands", standing, [])])


def test_what_alerts_count_is_there_before_it_has_happened() -> None:
    """``increase()`` sees no event that begins a series; a share of requests does without the first one."""
    told = Metrics(queues=["q", callbackmessage.QUEUE], routes=[], version="1", events=True).expose("")[0].decode()
    there = {re.sub(r" \S+$", "", line) for line in told.splitlines() if not line.startswith("#")}
    asked = {name for alert, shown in EXAMPLES.items() if alert != "ThumbqRequestsRefused" for name in shown.fires}
    counted = {name for name in asked if re.match(r"\w+(_total|_bucket)\b", name)}
    assert len(counted) > 5
    for name in counted:
        family, _, labels = name.rstrip("}").partition("{")
        number = re.sub(r'le="(\d+)"', r'le="\1.0"', labels)
        wanted = f"{family}{{{','.join(sorted(number.split(', ')))}}}"
        assert wanted in there, wanted


def test_the_alert_on_dead_letters_leaves_out_what_is_a_customers() -> None:
    pattern = re.search(r'code!~"([^"]+)"', RULES["ThumbqOwnDeadLetters"]["expr"])
    assert pattern is not None
    assert set(pattern[1].split("|")) == set(CUSTOMERS_CODES)


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    yield from ((alert, rule["expr"]) for alert, rule in RULES.items())
    yield from ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_each_name_and_label_exists(where: str, expression: str) -> None:
    del where
    names = re.findall(rf"{PREFIX}(\w+)(?:{{([^}}]*)}})?", expression)
    assert names
    for name, matchers in names:
        family = BY_NAME.get(name) or BY_NAME[re.sub("_(bucket|count|sum)$", "", name)]
        assert (family.name != name) == (family.kind == "histogram"), name
        labels = set(re.findall(r'(\w+)\s*[=!]~?\s*"', matchers))
        labels |= {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")} - {"le"}
        assert labels <= set(family.labels), name


def test_each_metric_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert [name for name in BY_NAME if PREFIX + name not in shown] == []


def test_prometheus_reads_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"thumbq:dashboard{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in promtool("check", "rules", str(file))

"""The alarm on dead letters is on those that are ours: its filter finds the line that thumbq writes, and no other."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from support import documents
from support.aws.filterpattern import matches
from support.aws.templates import read_template
from support.documents import DEPLOY
from thumbq.core.retry import CUSTOMERS_CODES, Bury
from thumbq.jobs.reporting import LASTING_S, report_away, report_buried, report_failed
from thumbq.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = ("attempts-exhausted", "source-denied", "render-crashed", "out-of-memory", "malformed-message")


@pytest.fixture(scope="module")
def resources() -> Any:
    return read_template(Path(__file__).parents[2] / "deploy" / "cloudformation.yaml")["Resources"]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Return what thumbq writes on standard error, set up as it does that itself."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("info")
    yield written
    structlog.reset_defaults()


def test_the_filter_finds_each_message_that_is_buried_for_a_reason_of_ours(resources: Any, log: io.StringIO) -> None:
    for code in (*OURS, *CUSTOMERS_CODES):
        report_failed(Bury(code, "why"))
        report_buried(Bury(code, "why"), dead_letter=True)
    lines = log.getvalue().splitlines()
    assert len(lines) == 2 * (len(OURS) + len(CUSTOMERS_CODES))
    found = [line for line in lines if matches(resources["DeadLetterFilter"]["Properties"]["FilterPattern"], line)]
    assert [line for code in OURS for line in found if f'"{code}"' in line] == found
    assert len(found) == len(OURS)


def test_the_alarm_is_on_the_metric_of_the_filter_and_the_document_has_its_pattern(resources: Any) -> None:
    [metric] = resources["DeadLetterFilter"]["Properties"]["MetricTransformations"]
    alarm = resources["DeadLetterAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (metric["MetricNamespace"], metric["MetricName"])
    assert (alarm["Statistic"], alarm["Threshold"], metric["MetricValue"]) == ("Sum", 0, "1")
    pattern = resources["DeadLetterFilter"]["Properties"]["FilterPattern"]
    assert documents.example(DEPLOY, "Alarms", "text").strip() == pattern


def test_the_alarm_on_outages_is_on_those_that_last_and_on_no_hiccup(resources: Any, log: io.StringIO) -> None:
    filters = [resources[name]["Properties"] for name in ("StoreOutageFilter", "QueueOutageFilter")]
    for event in ("store.away", "receive.failed", "other.event"):
        report_away(event, away_s=LASTING_S - 1)
        report_away(event, away_s=LASTING_S)
    lines = log.getvalue().splitlines()
    found = [line for line in lines if any(matches(each["FilterPattern"], line) for each in filters)]
    assert found == [lines[1], lines[3]]
    alarm = resources["OutageAlarm"]["Properties"]
    for each in filters:
        [metric] = each["MetricTransformations"]
        assert (alarm["Namespace"], alarm["MetricName"]) == (metric["MetricNamespace"], metric["MetricName"])
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 0)


def test_the_alarms_on_age_and_on_callbacks_are_on_what_sqs_itself_counts(resources: Any) -> None:
    watched = {name: resources[name]["Properties"] for name in ("AgeAlarm", "CallbackAlarm")}
    assert {(each["Namespace"], each["MetricName"]) for each in watched.values()} == {
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    }


def test_without_a_log_to_read_the_alarm_is_on_all_dead_letters(resources: Any) -> None:
    assert (resources["DeadLetterAlarm"]["Condition"], resources["AnyDeadLetterAlarm"]["Condition"]) == (
        "WithLogs",
        "WithoutLogs",
    )
    assert resources["AnyDeadLetterAlarm"]["Properties"]["MetricName"] == "ApproximateNumberOfMessagesVisible"


def test_a_pattern_that_the_tests_do_not_know_is_no_match_by_chance() -> None:
    assert not matches('{ ($.a = "x") && ($.b = "y") }', '{"a": "x", "b": "z"}')
    assert not matches('{ ($.a = "x") }', "no JSON")
    for unknown in ('{ $.a = "x" }', '{ ($.a = "x") || ($.b = "y") }', "message.buried", '{ ($.a = "x*") }'):
        with pytest.raises(ValueError, match=r".+"):
            matches(unknown, "{}")

"""Lines for CloudWatch: as its specification has them, and each tells once what has happened since the last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from support.doubles.observing import EVERYTHING
from thumbq.ports.observing import StageEnded
from thumbq.telemetry.emf import COUNTS, GAUGES, MOST_VALUES, TIMES, EmfLines, Values
from thumbq.telemetry.state import ReplicaState

SCHEMA: Final = json.loads((Path(__file__).parents[1] / "support" / "schemas" / "emf.schema.json").read_text())
NOW: Final = 1_796_000_000.25


def line(lines: EmfLines, state: ReplicaState | None = None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(lines.line(NOW, state)))
    Draft202012Validator(SCHEMA).validate(made)
    return made


def named(made: dict[str, Any]) -> dict[str, Any]:
    """Return what the line makes metrics of, by name: each with a number, or with at most a hundred."""
    [directive] = made["_aws"]["CloudWatchMetrics"]
    assert len(directive["Metrics"]) <= 100, "CloudWatch takes a hundred metrics in a directive"
    found = {metric["Name"]: made[metric["Name"]] for metric in directive["Metrics"]}
    assert found.keys() == made.keys() - {"_aws"}
    for value in found.values():
        assert len(value) <= MOST_VALUES if isinstance(value, list) else isinstance(value, int | float)
    return found


def test_a_line_has_everything_that_has_happened_once() -> None:
    lines = EmfLines()
    for happened in EVERYTHING:
        lines.observe(happened)
    state = ReplicaState(in_flight={"a": 2, "b": 1}, away={None: True, "a": True, "b": False})
    made = line(lines, state)
    assert made["_aws"]["Timestamp"] == 1_796_000_000_250
    found = named(made)
    assert found.keys() == {*COUNTS, *GAUGES, *TIMES.values()}
    assert [found[name] for name in GAUGES] == [1, 1, 3]
    assert found["HeartbeatsFailed"] == 10
    assert {name: found[name] for name in COUNTS if name != "HeartbeatsFailed"} == {
        **dict.fromkeys(COUNTS[:11], 1),
        **dict.fromkeys(("LeasesLost", "RenderProcessesReplaced"), 1),
        "RequestsFailed": 2,
    }
    assert found["RenderTime"] == [0.2]
    again = named(line(lines))
    assert again == dict.fromkeys(COUNTS, 0)


@pytest.mark.parametrize("number", [0, 1, MOST_VALUES, MOST_VALUES + 1, 12_345])
def test_of_many_times_evenly_many_are_told(number: int) -> None:
    values = Values()
    for value in range(number):
        values.add(float(value))
    assert len(values.kept) == number if number <= MOST_VALUES else MOST_VALUES / 2 <= len(values.kept) <= MOST_VALUES
    assert values.kept == sorted(values.kept)
    gaps = {later - earlier for earlier, later in zip(values.kept, values.kept[1:], strict=False)}
    assert len(gaps) <= 1
    lines = EmfLines()
    for value in range(number):
        lines.observe(StageEnded("wait", "", float(value)))
    assert named(line(lines)).get("WaitTime", []) == values.kept

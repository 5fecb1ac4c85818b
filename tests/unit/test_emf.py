"""Lines for CloudWatch: as its specification has them, and each tells once what has happened since the last one."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from support.doubles.observing import EVERYTHING
from support.emf import metrics_of
from thumbq.ports.observing import StageEnded
from thumbq.telemetry.emf import COUNTS, GAUGES, MOST_VALUES, TIMES, EmfLines, Values
from thumbq.telemetry.state import ReplicaState

NOW: Final = 1_796_000_000.25


def named(lines: EmfLines, state: ReplicaState | None = None) -> dict[str, Any]:
    """Return what the next line makes metrics of; it has nothing else."""
    text = json.dumps(lines.line(NOW, state))
    made = json.loads(text)
    assert made.pop("_aws")["Timestamp"] == 1_796_000_000_250
    assert metrics_of(text) == made
    return metrics_of(text)


def test_a_line_has_everything_that_has_happened_once() -> None:
    lines = EmfLines()
    for happened in EVERYTHING:
        lines.observe(happened)
    state = ReplicaState(in_flight={"a": 2, "b": 1}, away={None: True, "a": True, "b": False})
    found = named(lines, state)
    assert found.keys() == {*COUNTS, *GAUGES, *TIMES.values()}
    assert [found[name] for name in GAUGES] == [1, 1, 3]
    assert found["HeartbeatsFailed"] == 10
    assert {name: found[name] for name in COUNTS if name != "HeartbeatsFailed"} == {
        **dict.fromkeys(COUNTS[:11], 1),
        **dict.fromkeys(("LeasesLost", "RenderProcessesReplaced"), 1),
        "RequestsFailed": 2,
    }
    assert found["RenderTime"] == [0.2]
    again = named(lines)
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
    assert named(lines).get("WaitTime", []) == values.kept

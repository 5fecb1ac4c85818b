"""Runs of whole worlds; ``run.py`` beside this file does more of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.faults import LOCAL_FAULTS, MODEL_FAULTS, RENDER_FAULTS
from simulation.run import run_seeds, told

RUN = Path(__file__).with_name("run.py")

DISASTERS = {f"replica-{what}" for what in ("kill", "stop", "freeze", "suspend", "wall")} | {"killed-by-a-render"}


IN_MODEL = MODEL_FAULTS | {"moved-silently"}


@pytest.mark.parametrize(
    ("backend", "seeds", "faults"),
    [
        pytest.param("model", range(28, 50), IN_MODEL, id="S3 and SQS"),
        pytest.param("local", range(8), LOCAL_FAULTS, id="local"),
        pytest.param("model", range(50, 226), IN_MODEL, id="S3 and SQS, more", marks=pytest.mark.long),
        pytest.param("local", range(8, 150), LOCAL_FAULTS, id="local, more", marks=pytest.mark.long),
    ],
)
def test_nothing_is_lost_done_twice_or_stuck_in_any_world_and_each_fault_occurs(
    backend: str, seeds: range, faults: set[str]
) -> None:
    seen = Counter[str]()
    for outcome in run_seeds(seeds, backend):
        assert outcome.violation is None, told(outcome, backend)
        seen += outcome.seen
    assert faults | RENDER_FAULTS | DISASTERS | {"job-deleted"} <= seen.keys()


@pytest.mark.parametrize("backend", ["model", "local"])
def test_the_same_seed_is_the_same_run_in_every_process(backend: str) -> None:
    arguments = ["--digests", "--seeds", "2", "--start", "40", "--backend", backend]
    environment = {"PYTHONHASHSEED": "1"}  # that of this process is random
    other = subprocess.run(
        [sys.executable, str(RUN), *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert other.splitlines() == [f"{outcome.seed} {outcome.digest}" for outcome in run_seeds(range(40, 42), backend)]

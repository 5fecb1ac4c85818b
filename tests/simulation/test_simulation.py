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


@pytest.mark.parametrize(
    ("backend", "seeds", "faults"),
    [("model", 48, MODEL_FAULTS | {"moved-silently"}), ("local", 30, LOCAL_FAULTS)],
    ids=["S3 and SQS", "local"],
)
def test_nothing_is_lost_done_twice_or_stuck_in_any_world_and_each_fault_occurs(
    backend: str, seeds: int, faults: set[str]
) -> None:
    seen = Counter[str]()
    for outcome in run_seeds(range(seeds), backend):
        assert outcome.violation is None, told(outcome, backend)
        seen += outcome.seen
    assert faults | RENDER_FAULTS | DISASTERS <= seen.keys()


@pytest.mark.parametrize("backend", ["model", "local"])
def test_the_same_seed_is_the_same_run_in_every_process(backend: str) -> None:
    arguments = ["--digests", "--seeds", "4", "--start", "40", "--backend", backend]
    environment = {"PYTHONHASHSEED": "1"}  # that of this process is random
    other = subprocess.run(
        [sys.executable, str(RUN), *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert other.splitlines() == [f"{outcome.seed} {outcome.digest}" for outcome in run_seeds(range(40, 44), backend)]

"""Runs of whole worlds; ``run.py`` beside this file does more of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulation.faults import RATES
from simulation.run import run_seeds, told

RUN = Path(__file__).with_name("run.py")

DISASTERS = ("kill", "stop", "freeze", "suspend", "wall")


@pytest.mark.timeout(300)  # 300 worlds take 10 s on a core of their own
def test_nothing_is_lost_done_twice_or_stuck_in_300_worlds_and_each_fault_occurs() -> None:
    seen = Counter[str]()
    for outcome in run_seeds(range(300), "model"):
        assert outcome.violation is None, told(outcome, "model")
        seen += outcome.seen
    assert {*RATES, *(f"replica-{what}" for what in DISASTERS), "killed-by-a-render", "moved-silently"} <= seen.keys()


@pytest.mark.parametrize("backend", ["model"])
def test_the_same_seed_is_the_same_run_in_every_process(backend: str) -> None:
    def digests(hash_seed: str) -> str:
        arguments = ["--digests", "--seeds", "12", "--start", "40", "--backend", backend]
        environment = {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, str(RUN), *arguments], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert len({digests("1"), digests("2")}) == 1

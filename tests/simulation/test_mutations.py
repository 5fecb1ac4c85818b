"""The simulation bites: each mistake that ``mutations`` knows is found. It takes long: `pytest -n2 --long`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.mutations import MUTATIONS

MUTATED = Path(__file__).with_name("mutated.py")


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [pytest.param(number, id=mutation.name) for number, mutation in enumerate(MUTATIONS)]
)
def test_the_simulation_finds_it_when(number: int) -> None:
    run = subprocess.run([sys.executable, str(MUTATED), str(number)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

"""The simulation bites: each mistake that ``mutations`` knows is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.mutations import MUTATIONS

MUTATED = Path(__file__).with_name("mutated.py")


@pytest.mark.timeout(120)  # up to 200 worlds
@pytest.mark.parametrize("number", range(len(MUTATIONS)), ids=[mutation.name for mutation in MUTATIONS])
def test_the_simulation_finds_it_when(number: int) -> None:
    run = subprocess.run([sys.executable, str(MUTATED), str(number)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

"""The simulation bites: each mistake that ``mutations`` knows is found (in the short form, each fourth of them)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.mutations import MUTATIONS

MUTATED = Path(__file__).with_name("mutated.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    step = 1 if metafunc.config.getoption("chaos") == "full" else 4
    numbers = range(0, len(MUTATIONS), step)
    metafunc.parametrize("number", numbers, ids=[MUTATIONS[number].name for number in numbers])


@pytest.mark.timeout(120)  # up to 200 worlds
def test_the_simulation_finds_it_when(number: int) -> None:
    run = subprocess.run([sys.executable, str(MUTATED), str(number)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

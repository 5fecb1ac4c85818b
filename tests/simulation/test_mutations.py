"""The simulation bites: each mistake that ``mutations`` knows is found (in the short form, each fourth of them)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulation.mutations import MUTATIONS

if TYPE_CHECKING:
    import pytest

MUTATED = Path(__file__).with_name("mutated.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    step = 1 if metafunc.config.getoption("chaos") == "full" else 4
    numbers = range(0, len(MUTATIONS), step)
    metafunc.parametrize("number", numbers, ids=[MUTATIONS[number].name for number in numbers])


def test_the_simulation_finds_it_when(number: int) -> None:
    run = subprocess.run([sys.executable, str(MUTATED), str(number)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

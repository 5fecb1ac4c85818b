"""Run seeds with one mutation until the referee finds it: ``python tests/simulation/mutated.py NUMBER``."""

# ruff: noqa: T201 - what it prints is what it is for
from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.mutations import MUTATIONS, install


def main() -> int:
    """Print the seed that finds the mutation; 1 when none does."""
    mutation = MUTATIONS[int(sys.argv[1])]
    install(mutation)
    from simulation.run import run_seeds  # noqa: PLC0415 - the mutation has to be there before the worker is imported

    others = 0
    for outcome in run_seeds(range(mutation.first, mutation.first + mutation.seeds), mutation.backend, cached=True):
        if outcome.violation and re.search(mutation.found_as, outcome.violation):
            print(f"seed {outcome.seed}: {outcome.violation[:300]}")
            return 0
        others += bool(outcome.violation)
    print(f"not found in {mutation.seeds} seeds; {others} other violations")
    return 1


if __name__ == "__main__":
    sys.exit(main())

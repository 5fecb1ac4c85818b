# ruff: noqa: T201 - what it prints is what it is for
"""Replicas under load, as docs/scale.md shows them: ``python tests/simulation/scale/run.py``, or one line of it."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from simulation.quiet import listening
from simulation.scale.warmup import warmed_up
from simulation.scale.world import Load, World

if TYPE_CHECKING:
    from simulation.scale.outcome import Outcome

_LEAST_UPLOADS: Final = 600
HEAD: Final = (
    "| uploads a second | replicas | prefixes | SlowDowns | uploads answered 503 | requests a message "
    "| longest wait, of a tenant's share | seconds to drain | in flight |"
)


class Row(NamedTuple):
    """A line of the table."""

    rate: int
    replicas: int
    prefixes: int


ROWS: Final = (Row(10, 2, 1), Row(150, 3, 1), Row(1_000, 20, 1), Row(10_000, 200, 1), Row(10_000, 200, 8))


def run(given: Load, *, share: float = 1.0, cached: bool = False) -> Outcome:
    """Run a load in a bucket that has had such a load before.

    ``cached`` loggers are those of this run for the rest of the process.
    """
    partitions, _ = warmed_up(given.a_second, given.key_prefixes, share=share)
    with listening(everything=False, cached=cached):
        return World(given, partitions).run()


def row(given: Load, outcome: Outcome) -> str:
    """Return what a run shows as a line of the table."""
    cells = [
        f"{given.a_second:,.0f}",
        f"{given.replicas}",
        f"{given.key_prefixes}",
        f"{outcome.slow_downs:,}",
        f"{outcome.refused:,}",
        f"{outcome.requests_a_message:.2f}",
        f"{max(outcome.waits.values()):.2f}",
        f"{outcome.drained_s:.1f}",
        f"{outcome.most_in_flight:,}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run what the arguments say; 1 when something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, help="uploads a second; without it the table of docs/scale.md")
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--prefixes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = ROWS if options.rate is None else (Row(options.rate, options.replicas, options.prefixes),)
    print(f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|", flush=True)
    lost = 0
    began_at = time.process_time()
    for one in rows:
        rounds = math.ceil(_LEAST_UPLOADS / one.rate)
        given = Load(one.replicas, one.rate, rounds, key_prefixes=one.prefixes, seed=options.seed)
        outcome = run(given, cached=True)
        lost += len(outcome.lost)
        print(row(given, outcome), flush=True)
    print(f"{lost} lost; {time.process_time() - began_at:.0f} s of CPU time", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

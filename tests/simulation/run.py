# ruff: noqa: T201 - what it prints is what it is for
"""Many runs, each from its seed: ``python tests/simulation/run.py --seeds 10000 --processes 2``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.quiet import listening
from simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from simulation.world import Outcome

_CHUNK = 20


def run_seeds(seeds: Iterable[int], backend: str, *, cached: bool = False) -> Iterator[Outcome]:
    """Run one seed after the other."""
    with listening(everything=False, cached=cached) as listener:
        for seed in seeds:
            world = World(seed, backend=backend)
            listener.referee = world.referee
            yield world.run()


def _run_chunk(chunk: tuple[range, str]) -> list[Outcome]:
    return list(run_seeds(*chunk, cached=True))


def trace(seed: int, backend: str) -> Outcome:
    """Run one seed and print all that happens."""
    with listening(everything=True, cached=False) as listener:
        world = World(seed, backend=backend, keep_trace=True)
        listener.referee = world.referee
        outcome = world.run()
    shape = world.shape
    sys.stdout.write(f"{shape}\n" + "\n".join(outcome.trace) + f"\n{outcome.violation or 'no violation'}\n")
    return outcome


def _outcomes(chunks: Sequence[tuple[range, str]], processes: int) -> Iterator[Outcome]:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for outcomes in pool.map(_run_chunk, chunks):
            yield from outcomes


def main() -> int:
    """Run what the arguments say; 1 when a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--trace", action="store_true", help="print all that happens (with --seed)")
    parser.add_argument("--digests", action="store_true", help="print what is the same for the same runs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backend", choices=["model", "local"], default="model")
    options = parser.parse_args()
    if options.digests:
        for outcome in run_seeds(range(options.start, options.start + options.seeds), options.backend):
            print(outcome.seed, outcome.digest)
        return 0
    if options.seed is not None and options.trace:
        return 1 if trace(options.seed, options.backend).violation else 0
    seeds = range(options.start, options.start + options.seeds) if options.seed is None else [options.seed]
    first, last = seeds[0], seeds[-1] + 1
    chunks = [(range(at, min(at + _CHUNK, last)), options.backend) for at in range(first, last, _CHUNK)]
    failures: list[Outcome]
    started, seen, runs_with, failures = time.monotonic(), Counter[str](), Counter[str](), []
    virtual_s = 0.0
    for outcome in _outcomes(chunks, options.processes):
        seen += outcome.seen
        runs_with.update(outcome.seen.keys())
        virtual_s += outcome.virtual_s
        if outcome.violation:
            failures.append(outcome)
            print(told(outcome, options.backend), flush=True)
    took_s = time.monotonic() - started
    for name, times in sorted(seen.items()):
        print(f"{name:22} {times:9,} times in {runs_with[name]:7,} runs")
    kinds = Counter(_kind(outcome) for outcome in failures)
    for kind, times in kinds.most_common():
        print(f"{times:6}  {kind}")
    print(
        f"{len(seeds):,} runs in {took_s:.0f} s ({len(seeds) / took_s:.0f}/s), {virtual_s / 3600:,.0f} virtual hours, "
        f"{len(failures)} violations"
    )
    return 1 if failures else 0


def told(outcome: Outcome, backend: str) -> str:
    """Say what a run has found and how to have it again."""
    return (
        f"seed {outcome.seed}: {(outcome.violation or '')[:600]}\n"
        f"    replay: python tests/simulation/run.py --backend {backend} --seed {outcome.seed} --trace"
    )


def _kind(outcome: Outcome) -> str:
    first = (outcome.violation or "").split("\n")[0]
    return re.sub(r"[0-9a-z]{26}|[\d.]+", "#", first)[:100]


if __name__ == "__main__":
    sys.exit(main())

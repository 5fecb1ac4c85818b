# ruff: noqa: T201 - what it prints is what it is for
"""Many hostile inputs through the real pool: ``python tests/fuzz/run.py --inputs 100000 --processes 2``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import campaign
from fuzz.mutator import FORMATS, mutated
from fuzz.tally import MIB, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK: Final = 1000
_MOST_GROWTH: Final = 64 * MIB


def run_chunk(seed: int, indices: Sequence[int]) -> tuple[int, Tally]:
    """Run some inputs; return the process that did it, too."""
    return os.getpid(), asyncio.run(campaign.run(mutated(seed, index) for index in indices))


def _hush() -> None:
    """Drop what decoders say on standard error, and the pool's log lines."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


def _run(seed: int, indices: Sequence[int], processes: int, *, quiet: bool) -> Tally:
    tally, sizes = Tally(), dict[int, list[int]]()
    chunks = [indices[at : at + _CHUNK] for at in range(0, len(indices), _CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_hush) as pool:
        for worker, part in pool.map(run_chunk, [seed] * len(chunks), chunks):
            tally.merge(part)
            sizes.setdefault(worker, []).extend(part.parent_bytes)
            if not quiet:
                print(f"{tally.inputs:,} inputs, {len(tally.violations)} violations", file=sys.stderr, flush=True)
    for worker_sizes in sizes.values():
        # The first chunk loads what is loaded only once.
        warm = worker_sizes[_CHUNK // campaign.BATCH - 1 :]
        if warm and max(warm) - warm[0] > _MOST_GROWTH:
            tally.violations.append(f"the parent grew from {warm[0] // MIB} to {max(warm) // MIB} MiB")
    return tally


def _replay(name: str, save: Path | None) -> Tally:
    seed, index = map(int, name.split(":"))
    if save is not None:
        save.write_bytes(mutated(seed, index).data)
    return run_chunk(seed, [index])[1]


def report(tally: Tally, seconds: float) -> str:
    """Return the findings of a run, for people."""
    figures = tally.as_json(seconds)
    lists = {"violations": tally.violations, "killed": tally.killed, "out of memory": tally.starved}
    lines = [line for name, found in lists.items() for line in (f"{len(found)} {name}", *found)]
    for source_format, outcomes in figures["outcomes"].items():
        counts = ", ".join(f"{code} {times:,}" for code, times in sorted(outcomes.items(), key=lambda each: -each[1]))
        lines.append(f"{source_format:5} {counts}")
    lines += [
        "slowest, ms of CPU (if killed, of time)",
        *(str(each) for each in tally.slowest[::-1]),
    ]
    lines += ["largest peak of a render process, MiB", *(str(each) for each in tally.largest[::-1])]
    lines.append(f"longest stall of a parent {figures['longest_stall_ms']} ms, its memory {figures['parent_mib']} MiB")
    lines.append(f"{tally.inputs:,} inputs in {seconds:.0f} s ({tally.inputs / seconds:.0f}/s)")
    return "\n".join(lines)


def main() -> int:
    """Run what the arguments say; 1 when a rule was broken."""
    names = [each.name.lower() for each in FORMATS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the first index")
    parser.add_argument("--formats", default=",".join(names), help="only these, separated by commas")
    parser.add_argument("--processes", type=int, default=2, help="parents, each with a render process")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--replay", metavar="SEED:INDEX", help="this one only")
    parser.add_argument("--save", type=Path, metavar="FILE", help="where to write the input (with --replay)")
    options = parser.parse_args()
    started = time.monotonic()
    if options.replay:
        tally = _replay(options.replay, options.save)
    else:
        wanted = [names.index(name) for name in options.formats.split(",")]
        rounds = range(options.start // len(names), options.start // len(names) + -(-options.inputs // len(wanted)))
        indices = [len(names) * turn + at for turn in rounds for at in wanted][: options.inputs]
        tally = _run(options.seed, indices, options.processes, quiet=options.json)
    seconds = time.monotonic() - started
    print(json.dumps(tally.as_json(seconds), indent=1) if options.json else report(tally, seconds))
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())

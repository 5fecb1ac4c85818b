"""`thumbq bench`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from thumbq.bench.figures import LEGEND, NOT_GENERATED, REFERENCES, THUMBQ, Measured
from thumbq.cli.benchservice import service
from thumbq.cli.console import Command, config_option, load_settings, run, say
from thumbq.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.bench.cases import Case
    from thumbq.bench.figures import NotMeasured
    from thumbq.core.preset import Preset

_PRESET: Final = "thumbnail"
_RUNS: Final = 7
_QUICK_RUNS: Final = 2
_NAME_WIDTH: Final = 22


@click.group()
def bench() -> None:
    """Measure what thumbq takes on this machine."""


@bench.command(cls=Command)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--preset", "names", multiple=True, help=f"Preset to make (default: {_PRESET}); several in one job.")
@click.option("--only", multiple=True, metavar="CLASS", help="Generate inputs of this class.")
@click.option("--all", "everything", is_flag=True, help="Also those that take long to generate.")
@click.option("--runs", type=click.IntRange(min=1), help=f"How often each is timed (default: {_RUNS}).")
@click.option("--quick", is_flag=True, help=f"Small inputs, {_QUICK_RUNS} runs: shows that it works, and no more.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all runs.")
@config_option
def render(
    files: Sequence[Path],
    names: Sequence[str],
    only: Sequence[str],
    runs: int | None,
    config: str | None,
    *,
    everything: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure the CPU time and the memory that renders take: of each FILE, or of generated inputs of every class.

    It compares, and judges nothing: it exits with 1 only when an image cannot be measured.

    \b
    Examples:
      thumbq bench render --json > render.json
      thumbq bench render photo.heic --preset thumbnail
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    if files and (only or everything):
        raise click.UsageError("--only and --all choose what is generated: leave them out, or the files")
    settings = load_settings(default_level="warning", config=config)
    from thumbq.commands import bench as command  # noqa: PLC0415 - botocore and aiohttp are slow to import

    presets = _presets(settings.presets, names)
    cases = [case.quick() if quick else case for case in _cases(only, everything=everything)]
    runs = runs or (_QUICK_RUNS if quick else _RUNS)
    results: list[Measured | NotMeasured] = []
    printed = as_json or say(_HEADER)

    def report(result: Measured | NotMeasured) -> None:
        nonlocal printed
        results.append(result)
        if not as_json:
            printed = _say_row(result) and printed

    work = partial(command.bench_files, settings, files) if files else partial(command.bench_cases, settings, cases)
    run(partial(work, presets=presets, runs=runs, report=report))
    if as_json:
        printed = say(json.dumps(command.document(results, runs=runs, quick=quick), indent=2))
    elif any(isinstance(result, Measured) for result in results):
        printed = say(_footer(generated=not files)) and printed
    sys.exit(0 if printed and all(isinstance(result, Measured) for result in results) else 1)


def _presets(known: Mapping[str, Preset], names: Sequence[str]) -> list[Preset]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.BadParameter(f"no preset {unknown[0]!r}; there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names or [_PRESET])]


def _cases(only: Sequence[str], *, everything: bool) -> list[Case]:
    from thumbq.bench.cases import CASES  # noqa: PLC0415 - it needs presets, and pydantic is slow to import

    unknown = [name for name in only if name not in CASES]
    if unknown:
        raise click.BadParameter(f"no class {unknown[0]!r}; there are: {', '.join(CASES)}")
    return [CASES[name] for name in only] or [case for case in CASES.values() if everything or not case.slow]


_COLUMNS: Final = (
    ("bytes", 10),
    ("MP", 7),
    ("thumbq ms", 11),
    *((text, width) for name in REFERENCES for text, width in ((f"{name} ms", 13), ("ratio", 7))),
    ("peak MiB", 10),
)
_HEADER: Final = "class".ljust(_NAME_WIDTH) + "".join(name.rjust(width) for name, width in _COLUMNS)


def _say_row(result: Measured | NotMeasured) -> bool:
    if not isinstance(result, Measured):
        return say(f"{result.name}: {result.code}: {result.text}", err=True)
    megapixels = result.rendered.width * result.rendered.height / 1_000_000
    cells = [str(result.bytes), f"{megapixels:.2f}", _number(result.best_ms(THUMBQ), 1)]
    for reference in REFERENCES:
        cells += [_number(result.best_ms(reference), 1), _number(result.ratio(reference), 2)]
    cells.append("-" if result.memory is None else f"+{result.memory.above_idle_bytes / MIB:.1f}")
    aligned = (cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return say(result.name.ljust(_NAME_WIDTH) + "".join(aligned))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _footer(*, generated: bool) -> str:
    lines = [f"{word:<10} {meaning}" for word, meaning in LEGEND.items()]
    if generated:
        lines += [f"{name:<10} {why}" for name, why in NOT_GENERATED.items()]
    return "\n".join(["", *lines])


bench.add_command(service)

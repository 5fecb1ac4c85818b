"""`thumbq bench service`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from thumbq.bench.requestcounts import SERVICES, UNCOUNTED
from thumbq.bench.servicefigures import SERVICE_LEGEND, ServiceMeasured
from thumbq.cli.console import CLEAR_LINE, Command, config_option, load_settings, local_option, run, say
from thumbq.cli.text import fitted
from thumbq.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.bench.figures import NotMeasured
    from thumbq.bench.mixes import Mix

    Result = ServiceMeasured | NotMeasured

_WARM: Final = 20
_COLUMNS: Final = 80


@click.command(cls=Command)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@local_option
@click.option("--mix", "names", multiple=True, metavar="MIX", help="tiny, camera or web (default: each in turn).")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Jobs that are measured (default: by the mix).")
@click.option("--warm", type=click.IntRange(min=0), default=_WARM, metavar="N", help=f"Jobs before (default: {_WARM}).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
def service(
    files: Sequence[Path],
    names: Sequence[str],
    jobs: int | None,
    warm: int,
    *,
    as_json: bool,
    **place: Any,
) -> None:
    """Measure what jobs take of the whole service: CPU time, memory, requests to S3 and SQS.

    Starts a `thumbq serve` as it is configured, stores originals (each FILE in turn, or generated ones), sends their
    messages, and removes all of it at the end. The queue has to be empty, and no other replica should work on it.

    \b
    Examples:
      thumbq bench service --local ./bench-data
      thumbq bench service --mix tiny --jobs 1000 --json > service.json
      thumbq bench service --local ./bench-data photo.jpg cat.png
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    if files and names:
        raise click.UsageError("--mix chooses what is generated: leave it out, or the files")
    settings = load_settings(default_level="warning", **place)
    from thumbq.commands.benchservice import run as command  # noqa: PLC0415 - botocore and aiohttp are slow to import

    mixes, status = _mixes(names), _Status()
    results: list[Result] = []
    headed, printed = as_json, True

    def report(result: Result) -> None:
        nonlocal headed, printed
        status.clear()
        results.append(result)
        if not isinstance(result, ServiceMeasured):
            say(f"{result.name}: {result.code}: {result.text}", err=True)
        elif not as_json:
            headed = headed or say(_HEADER)
            printed = headed and say(_row(result)) and printed

    work = partial(command.bench_files, settings, files) if files else partial(command.bench_mixes, settings, mixes)
    try:
        run(partial(work, command.Amount(jobs, warm), serve=_Serve(**place), report=report, progress=status.show))
    finally:
        status.clear()
    if as_json:
        printed = say(json.dumps(command.document(settings, results, warm=warm), indent=2))
    elif any(isinstance(result, ServiceMeasured) for result in results):
        printed = say(_FOOTER) and printed
    sys.exit(0 if printed and all(isinstance(result, ServiceMeasured) for result in results) else 1)


@dataclass(frozen=True, slots=True)
class _Serve:
    """The command of a replica with the settings of this one, but on a free port of this machine."""

    local: str | None
    config: str | None

    def __call__(self, descriptor: int | None) -> list[str]:
        command = [sys.executable, "-m", "thumbq.cli.measured", UNCOUNTED if descriptor is None else str(descriptor)]
        command += ["serve", "--host", "127.0.0.1", "--port", "0"]
        given = (("--local", self.local), ("--config", self.config))
        return command + [text for option, value in given if value is not None for text in (option, value)]


class _Status:
    """A line of standard error that says what is going on; shown on a terminal only."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, mix: str, stage: str, done: int, total: int) -> None:
        """Show how far a stage is: so many jobs of so many, if it has any."""
        if self._shown:
            text = f"{mix}: {stage} {done} of {total}" if total else f"{mix}: {stage}"
            click.echo(f"{CLEAR_LINE}{fitted(text, _COLUMNS - 1)}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo(CLEAR_LINE, nl=False, err=True)


def _mixes(names: Sequence[str]) -> list[Mix]:
    from thumbq.bench.mixes import MIXES  # noqa: PLC0415 - it needs presets, and pydantic is slow to import

    unknown = [name for name in names if name not in MIXES]
    if unknown:
        raise click.BadParameter(f"no mix {unknown[0]!r}; there are: {', '.join(MIXES)}")
    return [MIXES[name] for name in dict.fromkeys(names or MIXES)]


_FIGURES: Final = (
    ("jobs", 6),
    ("jobs/s", 8),
    ("parent", 9),
    ("render", 9),
    ("total", 9),
    ("S3", 7),
    ("SQS", 7),
    ("PSS", 7),
    ("start", 7),
)
_NAME_WIDTH: Final = 8
_HEADER: Final = "mix".ljust(_NAME_WIDTH) + "".join(name.rjust(width) for name, width in _FIGURES)


def _row(result: ServiceMeasured) -> str:
    cpu_ms, requests = result.cpu_ms(), result.requests_a_job()
    cells = [
        str(result.jobs),
        f"{result.jobs_a_second:.1f}",
        *(f"{cpu_ms[part]:.2f}" for part in ("parent", "render", "total")),
        *("-" if requests is None else f"{requests[name]:.2f}" for name in SERVICES),
        "-" if result.pss_bytes is None else f"{result.pss_bytes / MIB:.0f}",
        f"{1000 * result.start_cpu_s:.0f}",
    ]
    aligned = (cell.rjust(width) for cell, (_, width) in zip(cells, _FIGURES, strict=True))
    return result.mix.ljust(_NAME_WIDTH) + "".join(aligned)


_FOOTER: Final = "\n".join(["", *(f"{word:<8} {meaning}" for word, meaning in SERVICE_LEGEND.items())])

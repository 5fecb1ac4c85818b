"""`thumbq rerender`."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli.age import Age
from thumbq.cli.console import (
    Bar,
    Command,
    config_option,
    load_settings,
    local_option,
    queue_option,
    run,
    say,
)
from thumbq.cli.foundoriginals import FoundOriginals
from thumbq.cli.text import printable
from thumbq.deadletters.ratelimiter import MAX_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands.rerender import Progress


@click.command(cls=Command)
@local_option
@queue_option
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Make this preset, also where it is new.")
@click.option("--all", "everything", is_flag=True, help="Also what was made by today's presets.")
@click.option("--prefix", "prefixes", multiple=True, help="Look under this key prefix (default: all of originals).")
@click.option("--older-than", type=Age(), default="0", metavar="AGE", help="Originals of at least this age: 1h, 2d")
@click.option("--newer-than", type=Age(), metavar="AGE", help="Originals of at most this age.")
@click.option("--rate", type=click.IntRange(1, MAX_RATE), metavar="N", help="At most N jobs a second.")
@click.option("--from-start", is_flag=True, help="Do not go on where a run that was cut off has ended.")
@click.option("--apply", is_flag=True, help="Queue what is found; without it nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@config_option
def rerender(
    local: str | None,
    queue: str | None,
    presets: Sequence[str],
    prefixes: Sequence[str],
    *,
    older_than: int,
    newer_than: int | None,
    rate: int | None,
    everything: bool,
    from_start: bool,
    apply: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Make renditions again whose presets have changed, or that are new.

    Looks for originals whose manifests name renditions of another recipe than today's; with --preset for those that
    lack this preset or have it by another recipe. Their jobs go to --queue: name one behind that of uploads. A run that
    was cut off goes on where it was when it is started again.

    \b
    Examples:
      thumbq rerender
      thumbq rerender --preset thumbnail --newer-than 90d --rate 50 --apply
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", only=queue, local=local, config=config)
    from thumbq.commands import rerender as command  # noqa: PLC0415 - botocore is slow to import

    selection = command.Selection(tuple(prefixes), tuple(presets), everything, older_than, newer_than)
    options = command.RunOptions(time.time(), apply=apply, from_start=from_start, rate=rate)
    progress = command.Progress()
    with Bar("looking") as bar:
        found = FoundOriginals(bar, as_json=as_json)
        work = partial(command.rerender, progress=progress, report=found.report, moved_on=bar.update)
        with found.cut_off(lambda: "the same command again" if apply else None):
            run(partial(work, settings, selection, options))
    sys.exit(found.exit_code(summarised=say(_summary(found, progress, apply=apply), err=as_json)))


def _summary(found: FoundOriginals, progress: Progress, *, apply: bool) -> str:
    text = found.outcome(f"{progress.looked_at} keys, {found.number} originals to render again", apply=apply)
    others = [
        f"{number} {what}"
        for number, what in (
            (progress.failed_jobs, "failed jobs (thumbq dlq redrive)"),
            (progress.without_manifest, "originals without a manifest (thumbq reconcile)"),
        )
        if number
    ]
    if others:
        text = f"{text}\nleft alone: {', '.join(others)}"
    if progress.began_after:
        began = printable(progress.began_after)
        text += f"\nwent on after {began}" if apply else f"\na run was cut off: --apply goes on after {began}"
    return text

"""`thumbq reconcile`."""

from __future__ import annotations

import shlex
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands.reconcile import Progress


@click.command(cls=Command)
@local_option
@queue_option
@click.option("--prefix", "prefixes", multiple=True, help="Look under this key prefix (default: all of originals).")
@click.option("--older-than", type=Age(), default="1h", show_default=True, metavar="AGE", help="90s, 15m, 1h, 2d")
@click.option("--after", default="", metavar="KEY", help="Go on after this key.")
@click.option("--apply", is_flag=True, help="Queue what is found; without it nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@config_option
def reconcile(
    local: str | None,
    queue: str | None,
    prefixes: Sequence[str],
    older_than: int,
    after: str,
    *,
    apply: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Find originals that have no manifest, and queue them again.

    A job that only waits in the queue for longer than AGE is found too: queued twice, it is done once. Failed jobs have
    manifests, and are not found. What ends early prints the command that goes on.

    \b
    Examples:
      thumbq reconcile --older-than 1d
      thumbq reconcile --older-than 1d --apply
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", only=queue, local=local, config=config)
    from thumbq.commands import reconcile as command  # noqa: PLC0415 - botocore is slow to import
    from thumbq.commands.originals import prefixes_of  # noqa: PLC0415 - the same

    progress = command.Progress(after)
    with Bar("looking") as bar:
        found = FoundOriginals(bar, as_json=as_json)
        with found.cut_off(lambda: _command_after(progress)):
            run(
                partial(
                    command.reconcile,
                    settings,
                    prefixes_of(settings.catalog, prefixes),
                    modified_before=time.time() - older_than,
                    apply=apply,
                    progress=progress,
                    report=found.report,
                    moved_on=bar.update,
                )
            )
    counted = f"{progress.looked_at} keys, {found.number} originals without a manifest"
    sys.exit(found.exit_code(summarised=say(found.outcome(counted, apply=apply), err=as_json)))


def _command_after(progress: Progress) -> str:
    """Return the command that continues this one."""
    given = sys.argv[1:]
    if "--after" in given:
        at = given.index("--after")
        given = [*given[:at], *given[at + 2 :]]
    given = [word for word in given if not word.startswith("--after=")]
    words = ["thumbq", *given, *(["--after", progress.after] if progress.after else [])]
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """Return a word quoted for a shell, with its control characters escaped."""
    if text.isprintable():
        return shlex.quote(text)
    safe = "".join(
        char if char.isprintable() and char not in "\\'" else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in text
    )
    return f"$'{safe}'"

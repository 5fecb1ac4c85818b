"""`thumbq local`: back a local directory up, restore it, and bring back files that its database does not know."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli.console import Bar, Command, config_option, load_settings, local_option, run, say
from thumbq.cli.text import json_line, printable

if TYPE_CHECKING:
    from thumbq.local.recovery import LostFile


@click.group()
def local() -> None:
    """Local directories: back one up, restore it, and bring back files that its database does not know.

    \b
    Example:
      thumbq local backup ./backup --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped


@local.command(cls=Command)
@click.argument("destination", metavar="DEST")
@local_option
@click.option("--previous", metavar="DIR", help="An earlier backup: files that it has are hard links to those.")
@config_option
def backup(destination: str, local: str | None, previous: str | None, config: str | None) -> None:
    """Copy the directory to DEST, a new one, or a new file that ends in .tar, while the service goes on.

    Files are hard links where DEST is on the same file system, and else copies.

    \b
    Examples:
      thumbq local backup ./backup --local ./thumbq-data
      thumbq local backup /mnt/tuesday --previous /mnt/monday --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands.localdirectory import back_up  # noqa: PLC0415 - --help needs no database

    with Bar("copying") as bar:
        done = back_up(settings, destination, bar.update, previous=previous)
    linked = f", {done.linked} of them hard links" if done.linked else ""
    printed = say(f"{destination}: the database and {done.files} files{linked}")
    if done.missing:
        say(f"{done.missing} objects have no file in the directory", err=True)
    sys.exit(1 if done.missing or not printed else 0)


@local.command(cls=Command)
@click.argument("source", metavar="BACKUP")
@local_option
@config_option
def restore(source: str, local: str | None, config: str | None) -> None:
    """Make the directory of a BACKUP; it must be empty, or not there yet.

    Files are hard links where both are on one file system, and else copies.

    \b
    Example:
      thumbq local restore ./backup --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands import localdirectory  # noqa: PLC0415 - --help needs no database

    with Bar("copying") as bar:
        done = localdirectory.restore(settings, source, bar.update)
    printed = say(f"{settings.local}: the database and {done.files} files")
    if done.missing:
        say(f"{done.missing} objects have no whole file in the backup, and were left out", err=True)
    sys.exit(1 if done.missing or not printed else 0)


@local.command(cls=Command)
@local_option
@click.option("--apply", is_flag=True, help="Bring back what is found; without it nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@config_option
def recover(local: str | None, *, apply: bool, as_json: bool, config: str | None) -> None:
    """Find files that the database does not know, and make them originals, renditions and manifests again.

    They are in DIR/lost-and-found, or still among the others. The service may be running. thumbq reconcile then queues
    originals that have no manifest.

    \b
    Examples:
      thumbq local recover --local ./thumbq-data
      thumbq local recover --local ./thumbq-data --apply
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands import localdirectory  # noqa: PLC0415 - --help needs no database

    found = _Found(as_json=as_json)
    run(partial(localdirectory.recover, settings, apply=apply, report=found.report))
    printed = say(found.summary(apply=apply), err=as_json)
    sys.exit(0 if printed and found.all_printed else 1)


class _Found:
    """Prints and counts lost files."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._number = self._kept = 0
        self.all_printed = True

    def report(self, lost: LostFile) -> None:
        """Print one file."""
        self._number += 1
        self._kept += lost.kept is not None
        self.all_printed &= say(self._line(lost))

    def _line(self, lost: LostFile) -> str:
        stored_at = datetime.fromtimestamp(lost.modified_at, UTC)
        if self._as_json:
            members = {
                "key": lost.key,
                "bytes": lost.size,
                "modified_at": stored_at.isoformat(),
                "path": str(lost.path),
                "kept": lost.kept,
            }
            return json_line({name: value for name, value in members.items() if value is not None})
        name = str(lost.path) if lost.key is None else lost.key
        kept = f"\tstays: {lost.kept}" if lost.kept else ""
        return f"{stored_at:%Y-%m-%d %H:%M}\t{lost.size}\t{printable(name)}{kept}"

    def summary(self, *, apply: bool) -> str:
        """Return the last line."""
        back, found = self._number - self._kept, f"{self._number} lost files"
        if apply:
            return f"{found}, {back} brought back"
        return f"{found}; nothing was changed, --apply brings {back} of them back" if back else found

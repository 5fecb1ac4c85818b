"""`thumbq dlq purge`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli import deadletters
from thumbq.cli.age import Age
from thumbq.cli.console import Bar, Command, config_option, load_settings, local_option, queue_option, run, say
from thumbq.cli.text import json_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.deadletters.purge import Choice, Looked
    from thumbq.settings import Settings


@click.command(cls=Command)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@local_option
@queue_option
@click.option("--all", "everything", is_flag=True, help="Remove all dead letters.")
@click.option("--code", "codes", multiple=True, help="Only those with this code; - for those without one.")
@click.option("--older-than", type=Age(), metavar="AGE", help="Only those sent so long ago: 90s, 15m, 1h, 2d.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, with everything that is removed.")
@config_option
def purge(
    ids: Sequence[str],
    local: str | None,
    queue: str | None,
    codes: Sequence[str],
    older_than: int | None,
    *,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Remove dead letters for good: with --all all, else those that fit each of ID, --code and --older-than.

    Asks first; without a terminal it needs --yes. Originals and failed manifests stay. Exits with 1 when an ID is not
    found or a dead letter is not removed.

    \b
    Examples:
      thumbq dlq purge --code corrupt --older-than 7d --dry-run
      thumbq dlq purge 0c1f6b1e-8f5c-4a52-9f0e-5b8f3d7f2f10 --yes
      thumbq dlq purge --all --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    if everything == bool(ids or codes or older_than is not None):
        raise click.UsageError("say either --all, or which dead letters: IDs, --code, --older-than")
    settings = load_settings(default_level="warning", only=queue, or_webhooks=True, local=local, config=config)
    from thumbq.deadletters.purge import Choice  # noqa: PLC0415 - botocore is slow to import

    sent_before = None if older_than is None else time.time() - older_than
    choice = Choice(frozenset(ids), frozenset(codes), sent_before)
    if everything and not dry_run:
        _purge_all(settings, yes=yes, as_json=as_json)
    else:
        _Purge(settings, as_json=as_json).run(choice, dry_run=dry_run, yes=yes)


def _purge_all(settings: Settings, *, yes: bool, as_json: bool) -> None:
    from thumbq.commands import dlq as command  # noqa: PLC0415 - botocore is slow to import

    number = run(partial(command.count, settings))
    if number and not yes:
        _ask(number)
    if number:
        run(partial(command.purge, settings))
    text = f"removed {number} dead letters" if number else deadletters.NONE
    sys.exit(0 if say(json_line({"removed": number}) if as_json else text) else 1)


def _ask(number: int) -> None:
    """Ask whether to remove so many dead letters; ends the command if not."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"there are {number} dead letters; without a terminal to ask on, say --yes")
    if not click.confirm(f"Remove {number} dead letters for good?", err=True):
        sys.exit(1)


class _Purge:
    """Removes the dead letters that are chosen, and prints each."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json
        self._headed = as_json
        self._number = 0
        self._failed = 0
        self._unprinted = 0

    def run(self, choice: Choice, *, dry_run: bool, yes: bool) -> None:
        """Find what is chosen, ask, and remove it; what has come since the question stays. Ends the command."""
        from thumbq.commands import dlq as command  # noqa: PLC0415 - botocore is slow to import

        with Bar("looking" if dry_run or not yes else "purging") as bar:
            if dry_run:
                looked = run(partial(command.find, self._settings, choice, report=partial(self._found, bar)))
            elif yes:
                looked = run(partial(command.remove, self._settings, choice, report=partial(self._ended, bar)))
            else:
                looked = run(partial(command.find, self._settings, choice, report=lambda _: bar.update(1)))
        if looked.chosen and not dry_run and not yes:
            _ask(len(looked.chosen))
            these = replace(choice, names=frozenset(looked.chosen))
            with Bar("purging") as bar:
                gone = run(partial(command.remove, self._settings, these, report=partial(self._ended, bar)))
            deadletters.say_missing(gone.missing)
            self._failed += len(gone.missing)
        self._end(looked, dry_run=dry_run)

    def _found(self, bar: Bar, parsed: ParsedDeadLetter) -> None:
        self._number += 1
        bar.update(1)
        self._print(bar, parsed, {})

    def _ended(self, bar: Bar, parsed: ParsedDeadLetter, error: str | None) -> None:
        bar.update(1)
        if error is not None:
            self._failed += 1
            bar.say(f"{parsed.received.id}: {error}", err=True)
            return
        self._number += 1
        self._print(bar, parsed, {"removed": True})

    def _print(self, bar: Bar, parsed: ParsedDeadLetter, members: dict[str, bool]) -> None:
        self._headed = self._headed or bar.say(deadletters.HEADING)
        document = {**deadletters.document(parsed), **members}
        self._unprinted += not bar.say(json_line(document) if self._as_json else deadletters.row(parsed))

    def _end(self, looked: Looked, *, dry_run: bool) -> None:
        deadletters.say_missing(looked.missing)
        deadletters.say_unfit(looked.unfit)
        deadletters.say_others(looked.others)
        if looked.others is None:
            say(f"stopped after {looked.seen}; there may be more", err=True)
        text = f"removed {self._number} dead letters"
        if dry_run:
            text = f"{self._number} dead letters would be removed; nothing was changed"
        printed = say(text if looked.chosen else deadletters.NONE, err=self._as_json)
        failed = looked.missing or looked.unfit or self._failed or self._unprinted
        sys.exit(1 if failed or not printed else 0)

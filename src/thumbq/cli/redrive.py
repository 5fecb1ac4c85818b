"""`thumbq dlq redrive`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli import deadletters
from thumbq.cli.console import Bar, Command, config_option, load_settings, local_option, queue_option, run, say
from thumbq.commands.ratelimiter import MAX_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands.dlq.redrive import Redriven
    from thumbq.ports import MoveProgress
    from thumbq.settings import Settings


@click.command(cls=Command)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@local_option
@queue_option
@click.option("--all", "everything", is_flag=True, help="Redrive all dead letters.")
@click.option("--rate", type=click.IntRange(1, MAX_RATE), metavar="N", help="At most N messages a second.")
@config_option
def redrive(
    ids: Sequence[str],
    local: str | None,
    queue: str | None,
    rate: int | None,
    *,
    everything: bool,
    config: str | None,
) -> None:
    """Send dead letters back to the queue, so that their jobs are done again.

    Each is sent first and removed after. With --all SQS moves them itself where it can, and goes on after Ctrl-C. Exits
    with 1 when an ID is not found or a dead letter fails, which then stays.

    \b
    Examples:
      thumbq dlq redrive --all --rate 50
      thumbq dlq redrive 0c1f6b1e-8f5c-4a52-9f0e-5b8f3d7f2f10
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    if everything == bool(ids):
        raise click.UsageError("say either --all or the IDs of dead letters")
    settings = load_settings(default_level="warning", only=queue, or_webhooks=True, local=local, config=config)
    with Bar("redriving") as bar:
        done = _Redrive(bar)
        missing = set() if everything else done.some(settings, ids, rate)
        if everything:
            done.all(settings, rate)
    deadletters.say_missing(missing)
    deadletters.say_others(done.others)
    printed = say(f"redriven: {done.number}" if done.number or done.failed or ids else deadletters.NONE)
    sys.exit(1 if missing or done.failed or done.unprinted or not printed else 0)


class _Redrive:
    """Runs a redrive and prints the result of each dead letter; on a terminal a bar shows its progress."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self.number = 0
        self.failed = 0
        self.unprinted = 0
        self.others = 0

    def some(self, settings: Settings, ids: Sequence[str], rate: int | None) -> set[str]:
        """Redrive the dead letters with these IDs, and return the IDs that were not found."""
        from thumbq.commands.dlq.redrive import redrive_some  # noqa: PLC0415 - botocore is slow to import

        return run(partial(redrive_some, settings, ids, rate=rate, report=self._report))

    def all(self, settings: Settings, rate: int | None) -> None:
        """Redrive all dead letters."""
        from thumbq.commands.dlq.redrive import redrive_all  # noqa: PLC0415 - botocore is slow to import

        moving: MoveProgress | None = None

        def follow(progress: MoveProgress) -> None:
            nonlocal moving
            self._bar.update(progress.moved - (moving.moved if moving else 0))
            moving = progress

        try:
            self.others = run(partial(redrive_all, settings, rate=rate, report=self._report, moving=follow))
        finally:
            if moving is not None:
                self.number = moving.moved
                self._end(moving)

    def _end(self, move: MoveProgress) -> None:
        if not move.ended:
            self._bar.say("the move goes on at the server", err=True)
        elif move.failed is not None:
            self.failed += 1
            self._bar.say(f"the server ended the move: {move.failed}", err=True)

    def _report(self, result: Redriven) -> None:
        if result.message_id is not None:
            self.number += 1
        if result.error is not None:
            self.failed += 1
            self._bar.say(f"{result.dead_letter_id}: {result.error}", err=True)
        elif not self._bar.say(f"{result.dead_letter_id}\t{result.message_id}"):
            self.unprinted += 1
        self._bar.update(1)

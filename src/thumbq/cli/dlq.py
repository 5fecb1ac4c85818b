"""`thumbq dlq`: look at dead letters, send them back to the queue, remove them."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli import deadletters
from thumbq.cli.console import Command, config_option, load_settings, local_option, queue_option, run, say
from thumbq.cli.purge import purge
from thumbq.cli.redrive import redrive
from thumbq.cli.text import json_line
from thumbq.deadletters.limits import MOST_REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.errors import BackendError


@click.group()
def dlq() -> None:
    """Dead letters: messages that failed for good, or that were received too often.

    \b
    Example:
      thumbq dlq list
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped


@dlq.command("list", cls=Command)
@local_option
@queue_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines with everything, the body included.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_REMEMBERED),
    default=MOST_REMEMBERED,
    metavar="N",
    help=f"Stop after N (default: {MOST_REMEMBERED:,}).",
)
@config_option
def list_all(local: str | None, queue: str | None, limit: int, *, as_json: bool, config: str | None) -> None:
    """List dead letters: what failed and why, when it was sent, how often it was received.

    SQS has no peek: a dead letter that was looked at is hidden from others for up to a minute, and given back at the
    end.

    \b
    Example:
      thumbq dlq list --local ./thumbq-data --limit 20
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", only=queue, or_webhooks=True, local=local, config=config)
    from thumbq.commands.dlq import show_all  # noqa: PLC0415 - botocore is slow to import

    headed, printed = as_json, True

    def report(parsed: ParsedDeadLetter) -> bool:
        nonlocal headed, printed
        headed = headed or say(deadletters.HEADING)
        text = json_line(deadletters.document(parsed)) if as_json else deadletters.row(parsed)
        printed = headed and say(text)
        return printed

    listed = run(partial(show_all, settings, limit=limit, report=report))
    if listed.others is None and printed:
        say(f"stopped after {listed.shown}; there may be more", err=True)
    elif not listed.shown and not listed.others:
        printed = say(deadletters.NONE, err=as_json)
    deadletters.say_others(listed.others)
    sys.exit(0 if printed else 1)


@dlq.command(cls=Command)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@local_option
@queue_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@config_option
def show(ids: Sequence[str], local: str | None, queue: str | None, *, as_json: bool, config: str | None) -> None:
    """Show everything of dead letters, whole bodies included.

    ID is that of the dead letter, or of the message that was buried (the first dead letter that bears it is shown).
    Exits with 1 when an ID is not found.

    \b
    Example:
      thumbq dlq show 0c1f6b1e-8f5c-4a52-9f0e-5b8f3d7f2f10
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", only=queue, or_webhooks=True, local=local, config=config)
    from thumbq.commands.dlq import show as show_some  # noqa: PLC0415 - botocore is slow to import

    failed = False

    def report(parsed: ParsedDeadLetter, error: BackendError | None) -> None:
        nonlocal failed
        printed = say(json_line(deadletters.document(parsed)) if as_json else deadletters.page(parsed))
        if error is not None:
            say(f"{parsed.received.id}: {error}", err=True)
        failed = failed or error is not None or not printed

    missing = run(partial(show_some, settings, ids, report=report))
    deadletters.say_missing(missing)
    sys.exit(1 if missing or failed else 0)


dlq.add_command(purge)
dlq.add_command(redrive)

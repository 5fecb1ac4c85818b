"""`thumbq webhook`: callbacks are sent again."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli.console import Command, config_option, load_settings, local_option, run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands.replay import Replayed


@click.group()
def webhook() -> None:
    """Callbacks: send those of jobs that have ended again.

    \b
    Example:
      thumbq webhook replay 7x3tq8m0kz5w9d2c4v6b1n8r0p
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped


@webhook.command(cls=Command)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@local_option
@config_option
def replay(ids: Sequence[str], local: str | None, config: str | None) -> None:
    """Send the callback of each job again, under the webhook-id that it had.

    ID is a job's id, or the key of its original. Exits with 1 when a job is not found, has not ended, or names nobody
    to call.

    \b
    Example:
      thumbq webhook replay 7x3tq8m0kz5w9d2c4v6b1n8r0p --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands.replay import replay as send_again  # noqa: PLC0415 - botocore is slow to import

    failed = False

    def report(replayed: Replayed) -> None:
        nonlocal failed
        if replayed.error is not None:
            printed = say(f"{replayed.name}: {replayed.error}", err=True)
        else:
            printed = say(f"{replayed.name}\t{replayed.callback_id}")
        failed = failed or replayed.error is not None or not printed

    run(partial(send_again, settings, ids, report=report))
    sys.exit(1 if failed else 0)

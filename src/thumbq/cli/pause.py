"""`thumbq pause` and `thumbq resume`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from thumbq.cli.console import Command, config_option, load_settings, local_option, run, say

if TYPE_CHECKING:
    from thumbq.pauses import Pause


@click.command(cls=Command)
@click.argument("queue", required=False, metavar="[QUEUE]")
@local_option
@config_option
def pause(queue: str | None, local: str | None, config: str | None) -> None:
    """Have all replicas receive nothing from QUEUE (by its name in [[queues]]), or from any queue.

    Uploads go on, and so do the jobs that have begun. Nothing is received any more 20 s later. Lambda functions do not
    look: disable their trigger.

    \b
    Example:
      thumbq pause --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands import pause as command  # noqa: PLC0415 - botocore is slow to import

    paused = run(partial(command.pause, settings, queue))
    printed = [say(f"{name}: paused since {_time(each)}") for name, each in paused.items()]
    sys.exit(0 if all(printed) else 1)


@click.command(cls=Command)
@click.argument("queue", required=False, metavar="[QUEUE]")
@local_option
@config_option
def resume(queue: str | None, local: str | None, config: str | None) -> None:
    """Have all replicas receive again from QUEUE (by its name in [[queues]]), or from all queues, within 15 s.

    \b
    Example:
      thumbq resume --local ./thumbq-data
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", local=local, config=config)
    from thumbq.commands import pause as command  # noqa: PLC0415 - botocore is slow to import

    ended = run(partial(command.resume, settings, queue))
    printed = [
        say(f"{name}: {'was not paused' if each is None else f'resumed; it was paused since {_time(each)}'}")
        for name, each in ended.items()
    ]
    sys.exit(0 if all(printed) else 1)


def _time(paused: Pause) -> str:
    since = paused.since
    return "an unknown time" if since is None else f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"

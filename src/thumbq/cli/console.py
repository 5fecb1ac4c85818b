"""Shared by all commands: options, output that may fail, exit codes, and Ctrl-C."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import anyio
import click

from thumbq.errors import SetupError, ThumbqError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thumbq.settings import Settings

T = TypeVar("T")

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as in shells."""

CLEAR_LINE: Final = "\r\033[K"  # ECMA-48: to the first column, erase to the end; the bar is drawn anew below

# Texts, not click's paths: a path that is empty (an unset shell variable) would mean the current directory.
config_option = click.option("--config", metavar="FILE", help="Settings file (default: thumbq.toml).")
local_option = click.option("--local", metavar="DIR", help="Keep everything in this directory instead of S3 and SQS.")

queue_option = click.option(
    "--queue", metavar="NAME", help="Queue, by its name in [[queues]], or webhooks; else the default one."
)


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP has ended the command, in an orderly way."""


class Bar:
    """A progress bar on standard error of unknown length; shown on a terminal only."""

    def __init__(self, label: str) -> None:
        self._shown = sys.stderr.isatty()
        # An endless iterable is how click is told of an unknown length.
        self._bar = click.progressbar(count(), label=label, show_pos=True, file=sys.stderr, hidden=not self._shown)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.render_finish()

    def update(self, steps: int) -> None:
        """Advance the count by so many steps."""
        self._bar.update(steps)

    def say(self, text: str, *, err: bool = False) -> bool:
        """Print a line above the bar; see ``say``."""
        if self._shown:
            click.echo(CLEAR_LINE, nl=False, err=True)
        return say(text, err=err)


class Command(click.Command):
    """Turns thumbq's own errors into exit codes: 2 for a SetupError, with every problem and its fix; 1 for others."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SetupError as error:
            say("\n".join(f"error: {problem}" for problem in error.problems) or str(error), err=True)
            ctx.exit(2)
        except ThumbqError as error:
            say(f"error: {error}", err=True)
            ctx.exit(1)
        except (Interrupted, KeyboardInterrupt, click.Abort):
            say("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        finally:
            _flush()


def say(text: str, *, err: bool = False) -> bool:
    """Print a line. Returns False when that fails: the reader is gone, the disk is full, a character has no code."""
    try:
        click.echo(text, err=err)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def open_closed_streams() -> None:
    """Put /dev/null where the caller has closed standard input, output or error (``2>&-``).

    Else the next file that is opened would get the number, and with it whatever a library prints there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)  # noqa: FBT003 - it takes no keyword
            setattr(sys, name, os.fdopen(nowhere, mode))


def _flush() -> None:
    """Flush the output: the interpreter would fail on it at its exit (Python's `signal`, "Note on SIGPIPE")."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def load_settings(
    *,
    default_level: str | None = None,
    only: str | None = None,
    or_webhooks: bool = False,
    replica: str | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings and set up logs: from ``default_level`` on, unless the settings name a level.

    With ``replica`` they are those of a service, and log lines name it. With ``only``, the name of a queue, the
    settings have this queue only; ``or_webhooks``: it may be that of callbacks, too.
    """
    from thumbq.settings import load, only_queue  # noqa: PLC0415 - --help needs no settings

    settings = only_queue(load(serving=replica is not None, **overrides), only, or_webhooks=or_webhooks)
    _configure_logs(settings, default_level, replica)
    return settings


def load_settings_with_places(*, default_level: str, **overrides: Any) -> tuple[Settings, dict[str, str]]:
    """Read the settings and set up logs; returns also where each setting that is given is written, by its field."""
    from thumbq.settings import load_with_places  # noqa: PLC0415 - --help needs no settings

    settings, places = load_with_places(**overrides)
    _configure_logs(settings, default_level, None)
    return settings, places


def _configure_logs(settings: Settings, default_level: str | None, replica: str | None) -> None:
    from thumbq.telemetry import logs  # noqa: PLC0415 - --help needs no logs

    if default_level is None or "log_level" in settings.model_fields_set:
        default_level = settings.log_level
    logs.configure(default_level, replica=replica)


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run a command's work; Ctrl-C, SIGTERM and SIGHUP cancel it, so that it gives back and ends what it has begun.

    Raises Interrupted after that. A second signal, a second or more after the first, ends the process at once.
    """
    from thumbq.process import Stop  # noqa: PLC0415 - --help needs no signals

    done: list[T] = []
    failed: list[ThumbqError] = []

    async def until_a_signal() -> None:
        stop = Stop()
        async with anyio.create_task_group() as tasks:
            await tasks.start(stop.watch)
            with stop.start:
                try:
                    done.append(await work())
                except ThumbqError as error:  # carried out of the task group, which would wrap it
                    failed.append(error)
            tasks.cancel_scope.cancel()

    anyio.run(until_a_signal)
    if failed:
        raise failed[0]
    if not done:
        raise Interrupted
    return done[0]

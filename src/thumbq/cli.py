"""The commands: argv in, exit codes out. Parts are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import click
import structlog

from thumbq.errors import SetupError, ThumbqError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands import Sent
    from thumbq.core.manifest import Manifest
    from thumbq.settings import Settings

MANY_FILES: Final = 10
"""From so many files on, `thumbq send` shows a progress bar on a terminal."""

_CLEAR_LINE: Final = "\r\033[K"  # ECMA-48: to the first column, erase to the end; the bar is drawn anew below

# Texts, not click's paths: a path that is empty (an unset shell variable) would mean the current directory.
_config = click.option("--config", metavar="FILE", help="Settings file (default: thumbq.toml).")
_local = click.option("--local", metavar="DIR", help="Keep everything in this directory instead of S3 and SQS.")


class _Command(click.Command):
    """Turns thumbq's own errors into exit codes: 2 for a start that cannot go on, with every problem and its fix."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SetupError as error:
            _say("\n".join(f"error: {problem}" for problem in error.problems) or str(error), err=True)
            ctx.exit(2)
        except ThumbqError as error:
            _say(f"error: {error}", err=True)
            ctx.exit(1)
        finally:
            _settle()


def _say(text: str, *, err: bool = False) -> bool:
    """Print a line. Returns False when that cannot be: the reader is gone, the disk is full, a character is unknown."""
    try:
        click.echo(text, err=err)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def _settle() -> None:
    """Leave nothing that the interpreter would fail to write at its exit (Python's `signal`, "Note on SIGPIPE")."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def _load(*, least: str | None = None, **overrides: Any) -> Settings:
    """Read the settings and set up logs: from ``least`` on, unless the settings name a level."""
    from thumbq.settings import load  # noqa: PLC0415 - --help needs no settings
    from thumbq.telemetry import logs  # noqa: PLC0415 - the same

    settings = load(**overrides)
    if least is None or "log_level" in settings.model_fields_set:
        least = settings.log_level
    logs.configure(least)
    return settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("thumbq"), prog_name="thumbq")
def main() -> None:
    """Image uploads in, thumbnails out: over HTTP, S3 and SQS, or over one local directory.

    \b
    Example:
      thumbq serve --local ./thumbq-data
      curl -F file=@photo.jpg http://127.0.0.1:8080/upload
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped


@main.command(cls=_Command)
@_local
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default: 8080); 0 takes a free one.")
@_config
def serve(**options: Any) -> None:
    """Run the whole service: the upload endpoint and the worker, in one process.

    \b
    Examples:
      thumbq serve --local ./thumbq-data
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs thumbq serve --host 0.0.0.0
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = _load(**options)
    from thumbq import service  # noqa: PLC0415 - botocore and aiohttp are slow to import

    try:
        anyio.run(partial(service.serve, settings, _announce))
    except ExceptionGroup:
        structlog.get_logger().critical("service.crashed", exc_info=True)
        sys.exit(1)


def _announce(address: str) -> None:
    _say(f"listening on {address}")
    _say(f"try: curl -F file=@photo.jpg {address}/upload")


@main.command(cls=_Command)
@_config
def setup(config: str | None) -> None:
    """Make the bucket, the queue, its dead-letter queue, redrive policy and public-access block on AWS.

    What is there already stays as it is, so running it again changes nothing.

    \b
    Example:
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs thumbq setup
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = _load(least="warning", config=config)
    from thumbq import commands  # noqa: PLC0415 - botocore and aiohttp are slow to import

    steps = anyio.run(partial(commands.setup, settings))
    printed = [_say(str(step)) for step in steps]
    sys.exit(0 if all(printed) else 1)


@main.command(cls=_Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_local
@click.option(
    "--prefix", default="uploads/", show_default=True, help="Key prefix; other prefixes keep the file's name."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@_config
def send(files: Sequence[Path], local: str | None, prefix: str, *, as_json: bool, config: str | None) -> None:
    """Store each FILE as an original and queue its job.

    Prints a line per file; goes on past a file that fails or a line that cannot be printed, and then exits with 1.

    \b
    Example:
      thumbq send --local ./thumbq-data photo.jpg holiday/*.heic
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = _load(least="warning", local=local, config=config)
    from thumbq import commands  # noqa: PLC0415 - botocore and aiohttp are slow to import

    failed = False
    shown = len(files) >= MANY_FILES and sys.stderr.isatty()
    with click.progressbar(length=len(files), label="sending", file=sys.stderr, hidden=not shown) as bar:

        def report(sent: Sent) -> None:
            nonlocal failed
            if shown:
                click.echo(_CLEAR_LINE, nl=False, err=True)
            printed = _print_sent(sent, as_json=as_json)
            failed = failed or sent.error is not None or not printed
            bar.update(1)

        anyio.run(partial(commands.send, settings, files, prefix=prefix, report=report))
    sys.exit(1 if failed else 0)


def _print_sent(sent: Sent, *, as_json: bool) -> bool:
    if as_json:
        return _say(json.dumps({name: value for name, value in asdict(sent).items() if value is not None}))
    if sent.error is not None:
        return _say(f"{sent.file}: {sent.error}", err=True)
    return _say(f"{sent.file}\t{sent.key}\t{sent.message_id}")


@main.command(cls=_Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, metavar="DIR", help="Directory to write to.")
@click.option("--preset", "names", multiple=True, help="Preset to make (default: those that the routes give).")
@_config
def render(files: Sequence[Path], out: str, names: Sequence[str], config: str | None) -> None:
    """Render each FILE here and now, in the same kind of process and with the same limits as a worker.

    Prints each file's manifest as JSON; exits with 1 when a file is refused.

    \b
    Example:
      thumbq render photo.jpg -o out --preset thumbnail
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = _load(least="warning", config=config)
    from thumbq import commands  # noqa: PLC0415 - botocore and aiohttp are slow to import

    if not out:
        raise click.BadParameter("it is empty: name a directory", param_hint="--out")
    unknown = [name for name in names if name not in settings.presets]
    if unknown:
        raise click.BadParameter(f"no preset {unknown[0]!r}; there are: {', '.join(settings.presets)}")
    failed = False

    def report(manifest: Manifest) -> None:
        nonlocal failed
        printed = _say(manifest.encode().decode().rstrip("\n"))
        failed = failed or manifest.status == "failed" or not printed

    presets = [settings.presets[name] for name in names]
    anyio.run(partial(commands.render, settings, files, Path(out), presets=presets, report=report))
    sys.exit(1 if failed else 0)

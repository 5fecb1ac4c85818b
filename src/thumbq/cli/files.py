"""`thumbq send` and `thumbq render`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from thumbq.cli.console import CLEAR_LINE, Command, config_option, load_settings, local_option, run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.commands.send import Sent
    from thumbq.core.manifest import Manifest

MANY_FILES: Final = 10
"""From so many files on, `thumbq send` shows a progress bar on a terminal."""


class _NonEmpty(click.ParamType[str]):
    """A text that is not empty: an empty one is an unset shell variable."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. An empty one is a usage error."""
        return str(value) or self.fail("it is empty: leave it out, or name one", param, ctx)


_NON_EMPTY: Final = _NonEmpty()


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@local_option
@click.option(
    "--prefix", default="uploads/", show_default=True, help="Key prefix; other prefixes keep the file's name."
)
@click.option("--priority", type=_NON_EMPTY, metavar="NAME", help="Queue, by its name in [[queues]].")
@click.option("--group", type=_NON_EMPTY, help="Message group on a FIFO queue (default: each file's key).")
@click.option("--tenant", type=_NON_EMPTY, help="Whose job it is, on a standard queue: SQS then shares it out fairly.")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Preset to make (default: the routes').")
@click.option(
    "--idempotency-key",
    type=_NON_EMPTY,
    metavar="KEY",
    help="Send the same files once, however often the command is run with this key within 24 hours.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@config_option
def send(
    files: Sequence[Path],
    local: str | None,
    prefix: str,
    priority: str | None,
    *,
    idempotency_key: str | None,
    as_json: bool,
    config: str | None,
    **chosen: Any,
) -> None:
    """Store each FILE as an original and queue its job.

    Prints a line per file; goes on past a file that fails or a line that cannot be printed, and then exits with 1.

    \b
    Examples:
      thumbq send --local ./thumbq-data photo.jpg holiday/*.heic
      thumbq send --prefix pngfiles/ --preset jpgfiles ./sampleImage.png
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", only=priority, local=local, config=config)
    from thumbq.commands.send import send as send_files  # noqa: PLC0415 - botocore and aiohttp are slow to import
    from thumbq.core.uploadoptions import UploadOptions  # noqa: PLC0415 - --help needs none of it

    options = UploadOptions(**chosen)
    failed = False
    shown = len(files) >= MANY_FILES and sys.stderr.isatty()
    with click.progressbar(length=len(files), label="sending", file=sys.stderr, hidden=not shown) as bar:

        def report(sent: Sent) -> None:
            nonlocal failed
            if shown:
                click.echo(CLEAR_LINE, nl=False, err=True)
            printed = _print_sent(sent, as_json=as_json)
            failed = failed or sent.error is not None or not printed
            bar.update(1)

        sending = partial(send_files, settings, files, prefix=prefix, options=options, report=report)
        run(partial(sending, idempotency_key=idempotency_key))
    sys.exit(1 if failed else 0)


def _print_sent(sent: Sent, *, as_json: bool) -> bool:
    if as_json:
        return say(json.dumps({name: value for name, value in asdict(sent).items() if value is not None}))
    if sent.error is not None:
        return say(f"{sent.file}: {sent.error}", err=True)
    return say(f"{sent.file}\t{sent.key}\t{sent.message_id}")


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, metavar="DIR", help="Directory to write to.")
@click.option("--preset", "names", multiple=True, help="Preset to make (default: those that the routes give).")
@config_option
def render(files: Sequence[Path], out: str, names: Sequence[str], config: str | None) -> None:
    """Render each FILE here and now, in the same kind of process and with the same limits as a worker.

    Prints each file's manifest as JSON; exits with 1 when a file is refused.

    \b
    Example:
      thumbq render photo.jpg -o out --preset thumbnail
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", config=config)
    from thumbq.commands.render import render as render_files  # noqa: PLC0415 - botocore and aiohttp are slow to import

    if not out:
        raise click.BadParameter("it is empty: name a directory", param_hint="--out")
    unknown = [name for name in names if name not in settings.presets]
    if unknown:
        raise click.BadParameter(f"no preset {unknown[0]!r}; there are: {', '.join(settings.presets)}")
    failed = False

    def report(manifest: Manifest) -> None:
        nonlocal failed
        printed = say(manifest.encode().decode().rstrip("\n"))
        failed = failed or manifest.status == "failed" or not printed

    presets = [settings.presets[name] for name in names]
    run(partial(render_files, settings, files, Path(out), presets=presets, report=report))
    sys.exit(1 if failed else 0)

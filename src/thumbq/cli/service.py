"""`thumbq serve` and `thumbq setup`."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from thumbq.cli.console import Command, config_option, load_settings, local_option, run, say
from thumbq.core import malloc
from thumbq.errors import ThumbqError
from thumbq.process import replica_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.settings import Settings


@click.command(cls=Command)
@local_option
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default: 8080); 0 takes a free one.")
@config_option
def serve(**options: Any) -> None:
    """Run the whole service: the upload endpoint and the worker, in one process.

    \b
    Examples:
      thumbq serve --local ./thumbq-data
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs thumbq serve
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs THUMBQ_TOKENS_FILE=tokens thumbq serve --host 0.0.0.0
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    gc.disable()  # what is loaded stays: collections would look at all of it time and again
    try:
        _serve(options)
    finally:
        gc.enable()


def _serve(options: dict[str, Any]) -> None:
    replica = replica_name()
    settings = load_settings(replica=replica, **options)
    from thumbq import service  # noqa: PLC0415 - botocore and aiohttp are slow to import
    from thumbq.watchdog import Watchdog  # noqa: PLC0415 - structlog, the same

    announce = partial(_announce, with_token=settings.asks_for_tokens)
    watchdog = Watchdog(settings.shutdown_deadline_s)
    try:
        run_service = partial(service.serve, read_again=_reading_again(settings, options))
        anyio.run(partial(run_service, settings, announce, replica=replica, stop_begins=watchdog.begin))
    except ThumbqError:
        raise
    except Exception:  # noqa: BLE001 - a line of the log, whatever it is
        import structlog  # noqa: PLC0415 - slow to import

        structlog.get_logger().critical("service.crashed", exc_info=True)
        sys.exit(1)


def _reading_again(settings: Settings, options: dict[str, Any]) -> Callable[[], Settings] | None:
    """Return what reads the settings as the start has, and does not take a missing file for an empty one.

    None where they have no file that somebody could change.
    """
    from thumbq.settings import file_in_use, load  # noqa: PLC0415 - --help needs no settings

    file = file_in_use(settings)
    if file is None and settings.tokens_file is None:
        return None
    return partial(load, serving=True, **options if file is None else options | {"config": str(file)})


def _announce(address: str, *, with_token: bool) -> None:
    """Say that the service is ready; the start is over, and what it has left free goes back."""
    malloc.trim()
    gc.freeze()
    gc.enable()
    say(f"listening on {address}")
    header = ' -H "Authorization: Bearer $TOKEN"' if with_token else ""
    say(f"try: curl{header} -F file=@photo.jpg {address}/upload")


@click.command(cls=Command)
@click.option("--events", is_flag=True, help="Have S3 tell the queue of presigned uploads (POST /uploads).")
@click.option("--retention", is_flag=True, help="Have S3 remove what is older than [retention] says (lifecycle rules).")
@config_option
def setup(config: str | None, *, events: bool, retention: bool) -> None:
    """Make the bucket, the queue, its dead-letter queue, redrive policy and public-access block on AWS.

    What is there already stays as it is, so running it again changes nothing.

    \b
    Examples:
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs thumbq setup
      THUMBQ_BUCKET=photos THUMBQ_QUEUE=photo-jobs thumbq setup --events
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    settings = load_settings(default_level="warning", config=config)
    from thumbq.commands.setup import setup as make  # noqa: PLC0415 - botocore and aiohttp are slow to import

    steps = run(partial(make, settings, events=events, retention=retention))
    printed = [say(str(step)) for step in steps]
    sys.exit(0 if all(printed) else 1)

"""The commands: argv in, exit codes out. Parts are imported by the command that needs them."""

from __future__ import annotations

import click

from thumbq.cli.bench import bench
from thumbq.cli.console import open_closed_streams
from thumbq.cli.dlq import dlq
from thumbq.cli.docs import docs
from thumbq.cli.doctor import doctor
from thumbq.cli.files import render, send
from thumbq.cli.local import local
from thumbq.cli.pause import pause, resume
from thumbq.cli.reconcile import reconcile
from thumbq.cli.rerender import rerender
from thumbq.cli.service import serve, setup
from thumbq.cli.status import status
from thumbq.cli.token import token
from thumbq.cli.webhook import webhook


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thumbq", prog_name="thumbq")
def main() -> None:
    """Image uploads in, thumbnails out: over HTTP, S3 and SQS, or over one local directory.

    \b
    Example:
      thumbq serve --local ./thumbq-data
      curl -F file=@photo.jpg http://127.0.0.1:8080/upload
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    open_closed_streams()


for command in (
    serve,
    setup,
    send,
    render,
    dlq,
    pause,
    resume,
    reconcile,
    rerender,
    webhook,
    local,
    token,
    bench,
    doctor,
    status,
    docs,
):
    main.add_command(command)

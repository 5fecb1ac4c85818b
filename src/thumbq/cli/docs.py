"""`thumbq docs`."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click

from thumbq import docs as documents
from thumbq.cli.console import Command, say
from thumbq.cli.markdown import laid_out
from thumbq.core.quoting import suggestion

_WIDEST: Final = 100
"""Columns; longer lines are hard to read."""


@click.command(cls=Command)
@click.argument("topic", required=False)
@click.option("--plain", is_flag=True, help="Print the Markdown as it is, without a pager.")
def docs(topic: str | None, *, plain: bool) -> None:
    """Show the documentation of a TOPIC, or the list of topics.

    On a terminal it is laid out and paged; else it is Markdown.

    \b
    Examples:
      thumbq docs
      thumbq docs settings
      thumbq docs manifest --plain >manifest.md
    """  # noqa: D301 - \b is click's mark for a paragraph that is not rewrapped
    if topic is None:
        sys.exit(0 if say(_list_of_topics()) else 1)
    if topic not in documents.TOPICS:
        raise click.BadParameter(_unknown(topic))
    markdown = documents.read(topic)
    if plain or not sys.stdout.isatty():
        sys.exit(0 if say(markdown.removesuffix("\n")) else 1)
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    click.echo_via_pager(laid_out(markdown, width=width))


def _list_of_topics() -> str:
    width = max(map(len, documents.TOPICS))
    lines = [f"  {topic:{width}}  {documents.summary(topic)}" for topic in documents.TOPICS]
    return "\n".join(["Topics, each shown by `thumbq docs TOPIC`:", "", *lines])


def _unknown(topic: str) -> str:
    return f"no topic {topic!r}{suggestion(topic, documents.TOPICS)}\nTopics: {', '.join(documents.TOPICS)}"

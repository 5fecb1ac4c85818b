"""`thumbq docs`: the list, a topic on a terminal and in a pipe, and topics that do not exist."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

import pytest
from click import unstyle
from click.testing import CliRunner

from support.replicas.replica import THUMBQ
from thumbq import docs
from thumbq.cli import main
from thumbq.cli.markdown import laid_out

COLUMNS = 80


def shown(*arguments: str) -> str:
    """Return what the command prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(
        [THUMBQ, "docs", *arguments], stdout=theirs, env=environment | {"PAGER": "cat", "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        chunks = []
        while chunk := _read(ours):
            chunks.append(chunk)
    os.close(ours)
    assert process.returncode == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux's end of a terminal that everybody has closed
        return b""


def test_without_a_topic_it_lists_them_with_a_line_each() -> None:
    result = CliRunner().invoke(main, ["docs"])
    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith("  ")]
    assert lines == [[topic, docs.summary(topic)] for topic in docs.TOPICS]
    assert all(len(line) <= COLUMNS for line in result.stdout.splitlines())


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--plain"]])
def test_a_topic_in_a_pipe_is_its_markdown(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["docs", *arguments])
    assert result.exit_code == 0
    assert result.stdout == docs.read("settings")


def test_a_topic_on_a_terminal_is_laid_out_and_paged() -> None:
    text = shown("settings")
    assert "|" not in text
    assert max(len(unstyle(line)) for line in text.splitlines()) <= COLUMNS
    assert text == unstyle(laid_out(docs.read("settings"), width=COLUMNS)) + "\n"


def test_plain_is_plain_on_a_terminal_too() -> None:
    assert shown("settings", "--plain") == docs.read("settings")


def test_an_unknown_topic_is_refused_with_the_nearest_one_and_the_list() -> None:
    result = CliRunner().invoke(main, ["docs", "setings"])
    assert result.exit_code == 2
    assert "no topic 'setings'; did you mean settings?" in result.stderr
    assert f"\nTopics: {', '.join(docs.TOPICS)}\n" in result.stderr
    far = CliRunner().invoke(main, ["docs", "kangaroo"])
    assert (far.exit_code, "did you mean" in far.stderr) == (2, False)


def test_help_names_the_command() -> None:
    assert "\n  docs " in CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.parametrize("width", [20, 40, 80, 100])
@pytest.mark.parametrize("topic", docs.TOPICS)
def test_each_topic_keeps_its_words_in_any_width(topic: str, width: int) -> None:
    markdown = docs.read(topic)
    text = unstyle(laid_out(markdown, width=width))
    for word in ("`", "**", "](", "|--"):
        assert word not in text
    assert len(text.split()) > len(markdown.split()) * 0.7


MARKDOWN = """\
# Title

A **paragraph** with `a literal` and [a link](queues.md#polling), then
[an address](https://example.org/) and [another](queues.md).

- one
- two, which goes
  on

| name | what it is |
|---|---|
| `a` | short |
| `b` | a text that is too long for its column |

```sh
thumbq  docs
```
"""
LAID_OUT = """\
Title

A paragraph with a literal and a
link, then an address and another.

- one
- two, which goes on

name  what it is
a     short
b     a text that is too long for
      its column

    thumbq  docs

See also

    thumbq docs queues
    https://example.org/"""


def test_markdown_is_wrapped_and_its_links_stand_at_the_end() -> None:
    assert unstyle(laid_out(MARKDOWN, width=35)) == LAID_OUT
    assert "\x1b[1ma\x1b[0m \x1b[1mliteral\x1b[0m" in laid_out(MARKDOWN, width=35)


def test_a_table_that_is_too_wide_has_its_cells_below_each_other() -> None:
    table = "| name | what it is |\n|---|---|\n| `an-unbreakable-name` | a text that is long |"
    assert unstyle(laid_out(table, width=24)) == "an-unbreakable-name\n    a text that is long"

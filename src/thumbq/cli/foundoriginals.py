"""Originals that a command has found, a line each above its bar."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thumbq.cli.console import Interrupted
from thumbq.cli.text import json_line, printable
from thumbq.errors import SetupError, ThumbqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thumbq.cli.console import Bar
    from thumbq.commands.originals import FoundOriginal


class FoundOriginals:
    """Prints and counts the originals that are found."""

    def __init__(self, bar: Bar, *, as_json: bool) -> None:
        self._bar = bar
        self._line = _json if as_json else _columns
        self.number = 0
        self.failed = 0
        self.unprinted = 0

    def report(self, found: FoundOriginal) -> None:
        """Print one original."""
        self.number += 1
        self.failed += found.error is not None
        self.unprinted += not self._bar.say(self._line(found))

    @contextmanager
    def cut_off(self, go_on: Callable[[], str | None]) -> Iterator[None]:
        """Print the command that goes on when the run within ends early; ``go_on`` gives it, or None for none."""
        try:
            yield
        except SetupError:
            raise
        except (ThumbqError, Interrupted):
            if (command := go_on()) is not None:
                self._bar.say(f"to go on: {command}", err=True)
            raise

    def exit_code(self, *, summarised: bool) -> int:
        """Return 1 when an original was not queued or not printed, or the summary was not printed."""
        return 1 if self.failed or self.unprinted or not summarised else 0

    def outcome(self, counted: str, *, apply: bool) -> str:
        """Return what was ``counted``, and what was done about it or what does it."""
        if apply:
            return f"{counted}, {self.number - self.failed} queued"
        return f"{counted}; nothing was changed, --apply queues them" if self.number else counted


def _json(found: FoundOriginal) -> str:
    members = {
        "bucket": found.source.bucket,
        "key": found.source.key,
        "bytes": found.size,
        "modified_at": datetime.fromtimestamp(found.modified_at, UTC).isoformat(),
        "presets": found.presets,
        "message_id": found.message_id,
        "error": found.error,
    }
    return json_line({name: value for name, value in members.items() if value is not None})


def _columns(found: FoundOriginal) -> str:
    columns = [
        f"{datetime.fromtimestamp(found.modified_at, UTC):%Y-%m-%d %H:%M}",
        str(found.size),
        printable(found.source.key),
        *([",".join(found.presets)] if found.presets is not None else []),
        found.error or found.message_id,
    ]
    return "\t".join(filter(None, columns))

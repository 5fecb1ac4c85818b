"""Dead letters as a terminal, a file or another program gets to see them."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from thumbq.cli.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.commands.deadletters import Letter

MOVED: Final = "moved by the queue"
FOREIGN: Final = "put here by somebody else"
HEADING: Final = f"{'ID':36}  {'SENT (UTC)':16}  TIMES CODE"

_MOVED_CODE: Final = "-"
_BODY_START: Final = 80


def document(letter: Letter) -> dict[str, Any]:
    """Return everything about a letter, for JSON."""
    job = letter.jobs[0] if letter.jobs else None
    members: dict[str, Any] = {
        "id": letter.letter.id,
        "sent_at": _when(letter.letter.sent_at).isoformat(),
        "receive_count": times(letter),
        "code": letter.note.code if letter.note else None,
        "reason": reason(letter),
        "message_id": letter.note.message_id if letter.note else None,
        "trace": letter.note.trace if letter.note else None,
        "bucket": job.source.bucket if job else None,
        "key": job.source.key if job else None,
        "further_keys": [other.source.key for other in letter.jobs[1:]] or None,
        "presets": job.presets if job else None,
        "body": letter.body,
        "body_bytes": letter.note.body_bytes if letter.note else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def row(letter: Letter) -> str:
    """Return the two lines of a letter in a table, no wider than the terminal that they are printed on."""
    code = letter.note.code if letter.note else _MOVED_CODE
    first = f"{letter.letter.id:36}  {_when(letter.letter.sent_at):%Y-%m-%d %H:%M}  {times(letter):>5} {code}"
    what = str(letter.jobs[0].source) if letter.jobs else f"{letter.body[:_BODY_START]!r}"
    if len(letter.jobs) > 1:
        what += f" and {len(letter.jobs) - 1} more"
    second = printable(f"    {what}: {reason(letter)}")
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        first, second = fitted(first, columns), fitted(second, columns)
    return f"{first}\n{second}"


def page(letter: Letter) -> str:
    """Return everything about a letter, the body last."""
    members = {**document(letter), "body": ""}
    lines = [f"{name:14} {printable(str(value))}" for name, value in members.items() if value]
    body = letter.body
    if sys.stdout.isatty():
        body = "\n".join(map(printable, body.split("\n")))
    return "\n".join([*lines, "", body, ""])


def reason(letter: Letter) -> str:
    """Say why a letter is here."""
    return letter.note.reason if letter.note else MOVED if letter.letter.moved else FOREIGN


def times(letter: Letter) -> int:
    """Return how often the message was received before it was buried; looks count too where only the queue knows."""
    return letter.note.receive_count if letter.note else letter.letter.receive_count


def printable(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def fitted(text: str, columns: int) -> str:
    """Return as much of a text as fits into so many columns."""
    used = 0
    for position, char in enumerate(text):
        width = _columns(char)
        if used + width > columns:
            return f"{_start(text[:position], columns - 1)}…"
        used += width
    return text


def _start(text: str, columns: int) -> str:
    while sum(map(_columns, text)) > columns:
        text = text[:-1]
    return text


def _columns(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _when(posix_s: float) -> datetime:
    return datetime.fromtimestamp(posix_s, UTC)


def say_others(number: int | None) -> None:
    """Tell of letters that are there and did not come by."""
    if number:
        why = "another reader holds them for now, or the count is behind (SQS takes a minute)"
        say(f"about {number} more are there: {why}; try again in a minute", err=True)


def say_missing(ids: Iterable[str]) -> None:
    """Tell which letters were not found."""
    for name in sorted(ids):
        say(f"{name}: there is no such dead letter, or another reader holds it for now", err=True)


def line(members: dict[str, Any]) -> str:
    """Return one line of JSON. A body may hold what no text in UTF-8 can: then all is escaped."""
    plain = json.dumps(members, ensure_ascii=False)
    return plain if _is_utf8(plain) else json.dumps(members)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

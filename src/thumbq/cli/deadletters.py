"""Dead letters as lines of a terminal, and as JSON."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from thumbq.cli.console import say
from thumbq.cli.text import fitted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.deadletters.parsing import ParsedDeadLetter

NONE: Final = "no dead letters"
HEADING: Final = f"{'ID':36}  {'SENT (UTC)':16}  TIMES CODE"

_MOVED_CODE: Final = "-"
_BODY_START: Final = 80


def document(parsed: ParsedDeadLetter) -> dict[str, Any]:
    """Return everything about a dead letter, for JSON."""
    source = parsed.sources[0] if parsed.sources else None
    job = parsed.jobs[0] if parsed.jobs else None
    members: dict[str, Any] = {
        "id": parsed.received.id,
        "sent_at": None if parsed.received.sent_at is None else _time(parsed.received.sent_at).isoformat(),
        "receive_count": parsed.receive_count,
        "code": parsed.note.code if parsed.note else None,
        "reason": parsed.reason,
        "message_id": parsed.note.message_id if parsed.note else None,
        "trace": parsed.note.trace if parsed.note else None,
        "webhook_id": parsed.callback.id if parsed.callback else None,
        "url": parsed.callback.url if parsed.callback else None,
        "bucket": source.bucket if source else None,
        "key": source.key if source else None,
        "further_keys": [other.source.key for other in parsed.jobs[1:]] or None,
        "presets": job.presets if job else None,
        "body": parsed.body,
        "body_bytes": parsed.note.body_bytes if parsed.note else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def row(parsed: ParsedDeadLetter) -> str:
    """Return the two lines of a dead letter in a table, no wider than the terminal that they are printed on."""
    code = parsed.note.code if parsed.note else _MOVED_CODE
    sent_at = "-" if parsed.received.sent_at is None else f"{_time(parsed.received.sent_at):%Y-%m-%d %H:%M}"
    first = f"{parsed.received.id:36}  {sent_at:16}  {parsed.receive_count:>5} {code}"
    sources = parsed.sources
    subject = str(sources[0]) if sources else f"{parsed.body[:_BODY_START]!r}"
    if parsed.callback is not None:
        subject += f" to {parsed.callback.url}"
    if len(parsed.jobs) > 1:
        subject += f" and {len(parsed.jobs) - 1} more"
    second = printable(f"    {subject}: {parsed.reason}")
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        first, second = fitted(first, columns), fitted(second, columns)
    return f"{first}\n{second}"


def page(parsed: ParsedDeadLetter) -> str:
    """Return everything about a dead letter, the body last."""
    members = {**document(parsed), "body": ""}
    lines = [f"{name:14} {printable(str(value))}" for name, value in members.items() if value]
    body = parsed.body
    if sys.stdout.isatty():
        body = "\n".join(map(printable, body.split("\n")))
    return "\n".join([*lines, "", body, ""])


def _time(posix_s: float) -> datetime:
    return datetime.fromtimestamp(posix_s, UTC)


def say_others(number: int | None) -> None:
    """Print how many dead letters are there and were not received."""
    if number:
        why = "another reader holds them for now, or the count is behind (SQS takes a minute)"
        say(f"about {number} more are there: {why}; try again in a minute", err=True)


def say_missing(ids: Iterable[str]) -> None:
    """Print which dead letters were not found."""
    for name in sorted(ids):
        say(f"{name}: there is no such dead letter, or another reader holds it for now", err=True)


def say_unfit(ids: Iterable[str]) -> None:
    """Print which dead letters stay though they were named."""
    for name in sorted(ids):
        say(f"{name}: its code or its age is another one: it stays", err=True)

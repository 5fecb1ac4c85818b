"""The note of a dead letter: why thumbq buried a message, in the message attribute ``thumbq``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

ATTRIBUTE: Final = "thumbq"
ATTRIBUTE_TYPE: Final = "String"
"""The attribute's type on SQS, which counts it too."""

_MAX_REASON: Final = 500

EMPTY: Final = "-"
"""Stands for a body of which nothing fits: SQS takes no empty ones."""


@dataclass(frozen=True, slots=True)
class Note:
    """Why a message was buried.

    ``message_id`` and ``receive_count`` are those of the message that was buried; its copy has another id. The body is
    cut when ``body_bytes`` says how long it was.
    """

    code: str
    reason: str
    message_id: str
    receive_count: int
    trace: str | None = None
    body_bytes: int | None = None

    def encode(self) -> str:
        """Return the note as the attribute's value."""
        members = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps({**members, "reason": self.reason[:_MAX_REASON]})


def decode(value: str | None) -> Note | None:
    """Read the attribute's value; None when it is missing or not a note."""
    try:
        document: Any = json.loads(value or "")
        return Note(
            code=str(document["code"]),
            reason=str(document["reason"]),
            message_id=str(document["message_id"]),
            receive_count=int(document["receive_count"]),
            trace=document.get("trace"),
            body_bytes=document.get("body_bytes"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def fits(body: str, note: Note, max_bytes: int) -> bool:
    """Whether body and note together have at most ``max_bytes``, the attribute's name and type included."""
    return len(body.encode(errors="replace")) <= _room(note, max_bytes)


def cut(body: str, note: Note, max_bytes: int) -> tuple[str, Note]:
    """Return as much of the body as fits beside its note, and the note that says so."""
    raw = body.encode(errors="replace")
    note = Note(**{**asdict(note), "body_bytes": len(raw)})
    return raw[: max(_room(note, max_bytes), 0)].decode(errors="ignore") or EMPTY, note


def _room(note: Note, max_bytes: int) -> int:
    return max_bytes - len(ATTRIBUTE) - len(ATTRIBUTE_TYPE) - len(note.encode().encode())

"""Texts for a terminal, a file or another program."""

from __future__ import annotations

import json
import unicodedata
from typing import Any


def printable(text: str) -> str:
    """Return a text with its control characters escaped, so that a terminal obeys none of them."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def fitted(text: str, columns: int) -> str:
    """Return the beginning of a text that fits into so many columns."""
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


def json_line(members: dict[str, Any]) -> str:
    """Return one line of JSON; all of it is escaped when a text in it is not valid in UTF-8, as a lone surrogate."""
    plain = json.dumps(members, ensure_ascii=False)
    return plain if _is_utf8(plain) else json.dumps(members)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Values of strangers, as they can stand in a sentence."""

from __future__ import annotations

from typing import Any, Final

_LONGEST: Final = 100


def quoted(value: Any) -> str:
    """Return a text in quotes, escaped and cut; of anything else its type."""
    text = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

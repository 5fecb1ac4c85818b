"""What is posted about an outcome, and how large it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.core.outcomesize import fitting

if TYPE_CHECKING:
    from thumbq.core.outcome import Outcome

MAX_BODY_BYTES: Final = 20 * 1024 - 1
"""Below 20 KiB (Standard Webhooks, "Payload size")."""


def body_of(outcome: Outcome) -> dict[str, Any]:
    """Return the body."""
    return fitting(outcome, MAX_BODY_BYTES).members()

"""The port to those who count what becomes of messages: series, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Ending = Literal["done", "failed", "retried", "settled"]


@dataclass(frozen=True, slots=True)
class Attempted:
    """How one attempt at a job or a callback ended. Times are POSIX seconds.

    ``queue`` is the queue's name in the settings. ``settled``: there was nothing to do (any more), or a stop came
    before. ``code`` is why it has failed for good. ``wait_s`` lasted from the send to the beginning of the attempt,
    ``work_s`` the render or the call; None where there was none, or nobody knows.
    """

    queue: str
    ending: Ending
    ended_at: float
    sent_at: float | None
    code: str | None = None
    wait_s: float | None = None
    work_s: float | None = None


class Observer(Protocol):
    """Is told of each attempt at its end. It must be quick, and never fails."""

    def attempted(self, attempt: Attempted) -> None:
        """Count an attempt."""
        ...

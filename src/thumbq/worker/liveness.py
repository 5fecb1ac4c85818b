"""Whether a loop still makes progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thumbq.ports import Clock


class Liveness:
    """The last sign of life of one loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_at = clock.monotonic()

    def note(self) -> None:
        """Note that the loop makes progress."""
        self._seen_at = self._clock.monotonic()

    def has_stalled(self, *, longest_s: float) -> bool:
        """Whether the last sign of life was more than ``longest_s`` seconds ago."""
        return self._clock.monotonic() - self._seen_at > longest_s

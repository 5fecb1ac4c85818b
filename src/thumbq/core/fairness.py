"""Whose turn it is when the jobs of several queues (lanes) want the same thing: a render process, memory.

Without weights the lane that is listed first always comes first. With weights each lane gets its share of the turns
that there are while others wait too: stride scheduling (Waldspurger and Weihl, "Stride Scheduling", 1995), in which a
lane that had nothing to do gets no credit for it. Inside a lane it is first come, first served.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

ONE_LANE: Final[Mapping[str, int | None]] = {"": None}


class Waiting(Generic[T]):
    """Those who wait, each in its lane. ``lanes`` are named in their order, each with its weight or all without.

    A lane of another name comes after them all, with the weight 1.
    """

    def __init__(self, lanes: Mapping[str, int | None] = ONE_LANE) -> None:
        self._ranks = {lane: rank for rank, lane in enumerate(lanes)}
        self._weights = {lane: weight for lane, weight in lanes.items() if weight is not None}
        self._queues: dict[str, deque[T]] = {}
        self._passes: dict[str, float] = {}
        self._now = 0.0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, lane: str, item: T) -> None:
        """Let something wait behind all that wait in its lane."""
        self._queues.setdefault(lane, deque()).append(item)

    def remove(self, lane: str, item: T) -> None:
        """Let something wait no longer that was not taken."""
        self._queues[lane].remove(item)
        self._tidy(lane)

    def pop(self) -> T:
        """Give the turn to whose it is."""
        return self.take(self.lanes()[0])

    def lanes(self) -> Sequence[str]:
        """Return the lanes in which something waits, the one whose turn it is first."""
        return sorted(self._queues, key=lambda lane: (self._pass(lane), self._ranks.get(lane, len(self._ranks))))

    def first(self, lane: str) -> T:
        """Return who has waited longest in a lane in which something waits."""
        return self._queues[lane][0]

    def take(self, lane: str) -> T:
        """Give the turn to who has waited longest in a lane."""
        item = self._queues[lane].popleft()
        if self._weights:
            self._now = self._pass(lane)
            self._passes[lane] = self._now + 1 / self._weights.get(lane, 1)
        self._tidy(lane)
        return item

    def _pass(self, lane: str) -> float:
        """Return when a lane's next turn is due; in the past is as good as now."""
        return max(self._passes.get(lane, self._now), self._now)

    def _tidy(self, lane: str) -> None:
        if not self._queues[lane]:
            del self._queues[lane]

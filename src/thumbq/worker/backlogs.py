"""Which queues have a backlog: what comes after them waits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core.fairness import ONE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWER_S: Final = 0.5
"""How long a receive takes, as a rule, that finds what it asks for there already."""


class Backlogs:
    """Which queues have more messages than a replica can take, as their last receives tell.

    Without weights, what comes after such a queue receives nothing: else its jobs would use up the way to the store and
    the processes in every moment in which the urgent ones have none that waits for them. With weights nobody waits.
    """

    def __init__(self, queues: Mapping[str, int | None] = ONE_QUEUE) -> None:
        self._ranks = {queue: rank for rank, (queue, weight) in enumerate(queues.items()) if weight is None}
        self._until: dict[str, float] = {}
        self._more_until: dict[str, float] = {}

    def asks(self, queue: str) -> None:
        """Note that a receive begins. One that is not answered soon finds the queue empty."""
        for until in (self._until, self._more_until):
            if queue in until:
                until[queue] = anyio.current_time() + _ANSWER_S

    def answered(self, queue: str, *, full: bool, waited: bool = False) -> None:
        """Note what a receive has found.

        ``full``: all that it asked for, so that there is more, as a rule. ``waited``: something that had waited, as it
        does in a backlog; but one message that was given back for a while has waited, too.
        """
        for until, found in ((self._until, full), (self._more_until, full or waited)):
            if found:
                until[queue] = math.inf
            else:
                until.pop(queue, None)

    def seems_to_have_more(self, queue: str) -> bool:
        """Whether the next receive will bring more of this queue at once, as far as the last one tells."""
        return anyio.current_time() < self._more_until.get(queue, -math.inf)

    def hold_up(self, queue: str) -> bool:
        """Whether a queue that comes before this one has more than it can take."""
        rank, now = self._ranks.get(queue), anyio.current_time()
        if rank is None:
            return False
        return any(self._ranks.get(other, rank) < rank and now < until for other, until in self._until.items())

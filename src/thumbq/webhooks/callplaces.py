"""Places for calls: there are so many at once, and no group of endpoints can have them all."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from enum import IntEnum
from typing import Final

import anyio

_SHARE: Final = 2


class Standing(IntEnum):
    """What is known of an endpoint; who waits with a better one comes first."""

    ANSWERS = 0
    UNKNOWN = 1
    DEAD = 2


class _Waiter:
    def __init__(self) -> None:
        self.has_place = anyio.Event()


class CallPlaces:
    """``total`` places. A group may have twice as many as are left over for all others, and so a third stays free.

    Source of the rule: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.
    Of those that wait with the same standing the groups take turns, and in a group it is first come, first served.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._taken: Counter[str] = Counter()
        self._waiting: tuple[OrderedDict[str, deque[_Waiter]], ...] = tuple(OrderedDict() for _ in Standing)

    def has_room(self, group: str) -> bool:
        """Whether there is a place for one more of a group."""
        return self._free > 0 and self._taken[group] < _SHARE * self._free

    async def take(self, group: str, standing: Standing) -> None:
        """Wait for a place, which must be given back."""
        waiter, waiting = _Waiter(), self._waiting[standing]
        waiting.setdefault(group, deque()).append(waiter)
        self._grant()
        try:
            await waiter.has_place.wait()
        except BaseException:
            if waiter.has_place.is_set():
                self.give_back(group)
            else:
                waiting[group].remove(waiter)
                if not waiting[group]:
                    del waiting[group]
            raise

    def give_back(self, group: str) -> None:
        """Give a place back."""
        self._free += 1
        self._taken[group] -= 1
        if not self._taken[group]:
            del self._taken[group]
        self._grant()

    def _grant(self) -> None:
        while (found := self._next()) is not None:
            waiting, group = found
            waiting[group].popleft().has_place.set()
            waiting.move_to_end(group)
            if not waiting[group]:
                del waiting[group]
            self._free -= 1
            self._taken[group] += 1

    def _next(self) -> tuple[OrderedDict[str, deque[_Waiter]], str] | None:
        for waiting in self._waiting:
            for group in waiting:
                if self.has_room(group):
                    return waiting, group
        return None

"""What became of a queue's messages in the last hour, in slots of a few seconds: counts, and times as histograms.

All of it has a bound: an hour of slots, and in each slot numbers and two histograms of fixed size.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STEP_S: Final = 15
SLOTS: Final = 240
"""An hour."""

_BINS: Final = 96
_BINS_PER_DOUBLING: Final = 4
_LEAST_S: Final = 0.001
"""Below this all times are alike. The last bin begins at 2.9 hours."""


class Histogram:
    """How many times of about each length there were. What it tells is wrong by a tenth at most."""

    __slots__ = ("_counts", "number")

    def __init__(self) -> None:
        self._counts = array("I", bytes(array("I").itemsize * _BINS))
        self.number = 0
        """How many times it has."""

    def add(self, seconds: float) -> None:
        """Count one time."""
        place = 0
        if seconds > _LEAST_S:
            place = min(1 + int(_BINS_PER_DOUBLING * math.log2(seconds / _LEAST_S)), _BINS - 1)
        self._counts[place] += 1
        self.number += 1

    def add_all(self, other: Histogram) -> None:
        """Count all times of another one."""
        for place, count in enumerate(other._counts):
            self._counts[place] += count
        self.number += other.number

    def quantile_s(self, share: float) -> float | None:
        """Return the time below which this share of all lie, in seconds; None when there is none."""
        if not self.number:
            return None
        wanted, seen = share * self.number, 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted and count:
                return _LEAST_S * 2 ** ((place - 0.5) / _BINS_PER_DOUBLING)
        raise AssertionError("there are fewer times than were counted")


@dataclass(slots=True)
class Slot:
    """What ended in a few seconds. ``oldest_sent_at`` is the earliest send of these messages, in POSIX seconds."""

    done: int = 0
    failed: int = 0
    retried: int = 0
    oldest_sent_at: float | None = None
    wait: Histogram = field(default_factory=Histogram)
    work: Histogram = field(default_factory=Histogram)

    def add(self, other: Slot) -> None:
        """Add what ended in another slot."""
        self.done += other.done
        self.failed += other.failed
        self.retried += other.retried
        self.saw(other.oldest_sent_at)
        self.wait.add_all(other.wait)
        self.work.add_all(other.work)

    def saw(self, sent_at: float | None) -> None:
        """Note when a message was sent, if that is known."""
        if sent_at is not None:
            self.oldest_sent_at = sent_at if self.oldest_sent_at is None else min(sent_at, self.oldest_sent_at)


_NOTHING: Final = Slot()
"""For reading only."""


class Series:
    """The last hour of one queue. Times are POSIX seconds, so that replicas have the same slots."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}

    def slot(self, now: float) -> Slot:
        """Return the slot of now, to count in."""
        number = int(now // STEP_S)
        if (found := self._slots.get(number)) is None:
            # A clock that was set back makes slots of the future, which go too.
            self._slots = {each: slot for each, slot in self._slots.items() if number - SLOTS < each < number}
            found = self._slots[number] = Slot()
        return found

    def last(self, now: float) -> tuple[int, Sequence[Slot]]:
        """Return when the first slot of the last hour began, and all of them, the one of now last."""
        number = int(now // STEP_S)
        first = number - SLOTS + 1
        return first * STEP_S, [self._slots.get(each, _NOTHING) for each in range(first, number + 1)]


def total(slots: Iterable[Slot]) -> Slot:
    """Return what ended in all of these slots."""
    found = Slot()
    for slot in slots:
        found.add(slot)
    return found

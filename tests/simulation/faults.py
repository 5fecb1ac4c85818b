"""Which faults there are in one run, how often, and until when."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

    from simulation.virtualloop import VirtualLoop

_MODEL: Final = {
    # What a standard queue may do to anybody.
    "reordering": 0.5,
    "short-answer": 0.3,
    "empty-receive": 0.05,
    "delivered-twice": 0.15,
    "deleted-comes-back": 0.15,
    "failed-entry": 0.2,
    # What happens on the way to a service and back.
    "refused": 0.15,
    "throttled": 0.15,
    "bad-request": 0.05,
    "request-lost": 0.1,
    "answer-lost": 0.15,
    "sent-twice": 0.1,
    "slow-answer": 0.15,
    "slow-then-away": 0.1,
    # What happens to a replica, beside what the world plans for it.
    "killed-at-a-request": 0.02,
    "killed-at-an-answer": 0.02,
}
_LOCAL: Final = {
    "disk-full": 0.05,
    "killed-before-a-write": 0.02,
    "killed-after-a-write": 0.02,
    "killed-before-a-file": 0.05,
    "killed-after-a-file": 0.05,
    "killed-before-a-removal": 0.2,
}
_RENDERS: Final = {
    "slow-render": 0.4,
    "child-killed": 0.15,
}
RATES: Final = _MODEL | _LOCAL | _RENDERS
"""The highest rate of each; a run draws its own below it, often none at all."""

MODEL_FAULTS, LOCAL_FAULTS, RENDER_FAULTS = set(_MODEL), set(_LOCAL), set(_RENDERS)

WITHIN_AN_OUTAGE: Final = 0.97


class Faults:
    """Draws the faults of one run, and counts those that happened."""

    def __init__(self, loop: VirtualLoop, random: Random, *, ends_at: float, none: bool = False) -> None:
        self._loop = loop
        self._random = random
        self.ends_at = ends_at
        self.seen: Counter[str] = Counter()
        self._rates = {name: 0.0 if none else self._rate(top) for name, top in RATES.items()}
        self.says_no: dict[str, bool] = {}
        """Whether a service that is away refuses everybody (a 400) instead of not answering."""
        self._outages: list[tuple[str, float, float]] = []
        for service in ("store", "store-writes", "queue", "beats"):
            if not none and random.random() < 0.2:
                start = random.uniform(0, ends_at)
                self._outages.append((service, start, min(ends_at, start + random.choice([5, 20, 60]))))
                self.says_no[service] = random.random() < 0.4

    def _rate(self, top: float) -> float:
        draw = self._random.random()
        return 0.0 if draw < 0.4 else top * self._random.random() if draw < 0.9 else top

    @property
    def over(self) -> bool:
        return self._loop.now >= self.ends_at

    def hit(self, name: str) -> bool:
        """Whether this fault happens now."""
        rate = self._rates[name]
        if not rate or self.over or self._random.random() >= rate:
            return False
        self.seen[name] += 1
        return True

    def away(self, *services: str) -> str | None:
        """Return what one of these services does to everybody now: "refused-for-all", "away", or nothing."""
        now = self._loop.now
        for service, start, end in self._outages:
            if service in services and start <= now < end and self._random.random() < WITHIN_AN_OUTAGE:
                how = "refused-for-all" if self.says_no.get(service) else "away"
                self.seen[f"outage-{service}"] += 1
                self.seen[how] += 1
                return how
        return None

    def go_away(self, service: str, from_s: float, for_s: float) -> None:
        """Have a service go away for everybody in a moment."""
        self._outages.append((service, from_s, min(self.ends_at, from_s + for_s)))

    def note(self, name: str) -> None:
        """Count a fault that the world made itself."""
        self.seen[name] += 1

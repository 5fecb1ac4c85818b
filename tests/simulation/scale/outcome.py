"""How a run went, and how long each tenant may wait: by its share of what all replicas do."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


LOUD: Final = "loud"
"""The tenant who sends crowds of messages."""


@dataclass(frozen=True, slots=True)
class Waited:
    """A message of a tenant's: when it was sent, and when its job was done."""

    tenant: str
    sent_at: float
    done_at: float

    @property
    def waited_s(self) -> float:
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went. ``jobs_a_second`` is what the render processes of all replicas take together."""

    requests: Mapping[str, int]
    waited: Sequence[Waited]
    lost: Sequence[str]
    """Keys of uploads that are not done, and messages that are left or were buried."""
    refused: int
    """Uploads that were answered 503; they came again."""
    first_crowd_at: float
    jobs_a_second: float
    most_in_flight: int

    @property
    def slow_downs(self) -> int:
        return self.requests["SlowDown"]

    @property
    def requests_a_message(self) -> float:
        return (sum(self.requests.values()) - self.slow_downs) / len(self.waited)

    @property
    def drained_s(self) -> float:
        """From a crowd to the end of its last job, at the mean."""
        crowds: defaultdict[float, float] = defaultdict(float)
        for each in self.waited:
            if each.tenant == LOUD:
                crowds[each.sent_at] = max(crowds[each.sent_at], each.waited_s)
        return fmean(crowds.values())

    @property
    def waits(self) -> dict[str, float]:
        """How long each tenant waited, as a multiple of its share (see ``shares``)."""
        waited, share = _means(self.waited), shares(self.waited, self.jobs_a_second)
        alone_s = fmean(each.waited_s for each in self.waited if each.sent_at < self.first_crowd_at)
        return {tenant: waited[tenant] / (alone_s + share[tenant]) for tenant in waited}


def shares(waited: Iterable[Waited], jobs_a_second: float) -> dict[str, float]:
    """Return how long each tenant's messages would wait, at the mean, where the tenants come in turn.

    One job is done after the other, and each at once when there is nothing else to do.
    """
    coming = deque(sorted(waited, key=lambda each: each.sent_at))
    waiting: dict[str, deque[Waited]] = {}
    now, done = 0.0, []
    while coming or waiting:
        if not waiting:
            now = max(now, coming[0].sent_at)
        while coming and coming[0].sent_at <= now:
            waiting.setdefault(coming[0].tenant, deque()).append(coming[0])
            coming.popleft()
        now += 1 / jobs_a_second
        tenant = next(iter(waiting))
        messages = waiting.pop(tenant)
        done.append(Waited(tenant, messages.popleft().sent_at, now))
        if messages:
            waiting[tenant] = messages
    return _means(done)


def _means(waited: Iterable[Waited]) -> dict[str, float]:
    by_tenant: defaultdict[str, list[float]] = defaultdict(list)
    for each in waited:
        by_tenant[each.tenant].append(each.waited_s)
    return {tenant: fmean(waits) for tenant, waits in by_tenant.items()}

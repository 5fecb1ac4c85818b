"""Turns at endpoints: none gets too many calls at once, and those that are slow or dead hold up no others."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

import anyio

from thumbq.core.callbackretry import MAX_CALLS
from thumbq.webhooks.callplaces import CallPlaces, Standing

CALLS_EACH: Final = 8
"""The most calls to one endpoint at once, in each replica."""

CALLS_DEAD: Final = 1
"""The same for one that did not answer the last time: more would tell nothing else."""

MAX_HELD: Final = 1000
"""The most callbacks that are called or wait for their turns, in each replica."""

_MOST_KNOWN: Final = 1000


@dataclass(slots=True)
class _Endpoint:
    turns: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(CALLS_EACH))
    standing: Standing = Standing.UNKNOWN
    waiting: int = 0
    takes: bool = True
    """Whether the last call has gone well, as far as is known."""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.turns.borrowed_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A turn at the endpoint of this name, and a place for a call of its group. It must be ended."""

    name: str
    group: str


class Endpoints:
    """Gives turns in the order in which they are asked for.

    Endpoints belong together whose names one pattern of the settings allows: whoever has one such name can have
    thousands. One that has answered its last call is a group of its own, and comes before others.

    One group may have as many waiting as there is room left for all others: half of it, if it is the only one that
    is slow, a third if there are two. What comes beyond goes back to the queue. So there is always room for another
    one (see CallPlaces).
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}  # those that are called, or have callbacks that wait
        self._known: dict[Standing, OrderedDict[str, _Endpoint]] = {
            Standing.ANSWERS: OrderedDict(),
            Standing.DEAD: OrderedDict(),
        }
        self._calls = CallPlaces(MAX_CALLS)
        self._waiting: Counter[str] = Counter()
        self._held = 0

    async def take_turn(self, name: str, pattern: str) -> Turn | None:
        """Wait for a turn at an endpoint that this pattern allows; None, at once, when too many wait already."""
        endpoint = self._endpoint(name)
        group = name if endpoint.standing is Standing.ANSWERS else pattern
        waits = endpoint.turns.available_tokens <= 0 or not self._calls.has_room(group)
        if waits and self._waiting[group] >= MAX_HELD - self._held:
            self._rest(name)
            return None
        turn = Turn(name, group)
        endpoint.waiting += 1
        self._waiting[group] += 1
        self._held += 1
        try:
            await endpoint.turns.acquire_on_behalf_of(turn)
            try:
                await self._calls.take(group, endpoint.standing)
            except BaseException:
                endpoint.turns.release_on_behalf_of(turn)
                raise
        except BaseException:
            self._held -= 1
            raise
        finally:
            endpoint.waiting -= 1
            self._waiting[group] -= 1
            if not self._waiting[group]:
                del self._waiting[group]
            self._rest(name)
        return turn

    def end_turn(self, turn: Turn) -> None:
        """Give a turn back."""
        self._endpoints[turn.name].turns.release_on_behalf_of(turn)
        self._calls.give_back(turn.group)
        self._held -= 1
        self._rest(turn.name)

    def note(self, turn: Turn, *, answered: bool, took: bool) -> None:
        """Note whether the endpoint has answered the call of this turn, and whether it took what it was told."""
        endpoint = self._endpoints[turn.name]
        endpoint.takes = took
        endpoint.standing = Standing.ANSWERS if answered else Standing.DEAD
        endpoint.turns.total_tokens = CALLS_EACH if answered else CALLS_DEAD

    def takes(self, name: str) -> bool:
        """Whether the last call to an endpoint has gone well, as far as is known."""
        for known in (self._endpoints, *self._known.values()):
            if name in known:
                return known[name].takes
        return True

    def _endpoint(self, name: str) -> _Endpoint:
        """Return an endpoint with what is known of it."""
        if name not in self._endpoints:
            found = [known.pop(name) for known in self._known.values() if name in known]
            self._endpoints[name] = found[0] if found else _Endpoint()
        return self._endpoints[name]

    def _rest(self, name: str) -> None:
        """Put an endpoint aside that nobody waits for: the latest are known, so many that answer and so many dead."""
        if self._endpoints[name].idle:
            endpoint = self._endpoints.pop(name)
            known = self._known.get(endpoint.standing)
            if known is not None:
                known[name] = endpoint
                if len(known) > _MOST_KNOWN:
                    known.popitem(last=False)

"""Turns at endpoints: none gets too many calls at once, and those that are slow or dead hold up no others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio

from thumbq.core.callbackretry import MAX_CALLS

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
    waiting: int = 0
    takes: bool = True
    """Whether the last call has gone well, as far as is known."""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.turns.borrowed_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A turn at the endpoint of this name. It must be ended."""

    name: str


class Endpoints:
    """Gives turns in the order in which they are asked for.

    One endpoint may have as many waiting as there is room left for all others: half of it, if it is the only one that
    is slow, a third if there are two. What comes beyond goes back to the queue. So there is always room for another
    one (Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998).
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._calls = anyio.CapacityLimiter(MAX_CALLS)
        self._held = 0

    async def take_turn(self, name: str) -> Turn | None:
        """Wait for a turn at an endpoint; None, at once, when too many wait already."""
        endpoint = self._endpoints.setdefault(name, _Endpoint())
        waits = endpoint.turns.available_tokens <= 0 or self._calls.available_tokens <= 0
        if waits and endpoint.waiting >= MAX_HELD - self._held:
            self._forget(name)
            return None
        turn = Turn(name)
        endpoint.waiting += 1
        self._held += 1
        try:
            await endpoint.turns.acquire_on_behalf_of(turn)
            try:
                await self._calls.acquire_on_behalf_of(turn)
            except BaseException:
                endpoint.turns.release_on_behalf_of(turn)
                raise
        except BaseException:
            self._held -= 1
            raise
        finally:
            endpoint.waiting -= 1
            self._forget(name)
        return turn

    def end_turn(self, turn: Turn) -> None:
        """Give a turn back."""
        endpoint = self._endpoints[turn.name]
        endpoint.turns.release_on_behalf_of(turn)
        self._calls.release_on_behalf_of(turn)
        self._held -= 1
        self._forget(turn.name)

    def note(self, turn: Turn, *, answered: bool, took: bool) -> None:
        """Note whether the endpoint has answered the call of this turn, and whether it took what it was told."""
        endpoint = self._endpoints[turn.name]
        endpoint.takes = took
        endpoint.turns.total_tokens = CALLS_EACH if answered else CALLS_DEAD

    def takes(self, name: str) -> bool:
        """Whether the last call to an endpoint has gone well, as far as is known."""
        endpoint = self._endpoints.get(name)
        return endpoint is None or endpoint.takes

    def _forget(self, name: str) -> None:
        """Forget an endpoint that nobody waits for, unless it is dead: so many dead ones are known, the latest."""
        if self._endpoints[name].idle:
            endpoint = self._endpoints.pop(name)
            if endpoint.turns.total_tokens == CALLS_DEAD:
                self._endpoints[name] = endpoint
        if len(self._endpoints) > _MOST_KNOWN and (idle := self._first_idle()) is not None:
            del self._endpoints[idle]

    def _first_idle(self) -> str | None:
        return next((name for name, endpoint in self._endpoints.items() if endpoint.idle), None)

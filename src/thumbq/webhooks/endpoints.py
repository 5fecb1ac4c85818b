"""Turns at endpoints: none gets too many calls at once, and one that is slow or dead holds up no other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio

from thumbq.core.callbackretry import MAX_CALLS

CALLS_EACH: Final = 8
"""The most calls to one endpoint at once, in each replica."""

HELD_EACH: Final = 500
"""The most callbacks that wait for their turn at one endpoint: what comes beyond goes back to the queue."""


@dataclass(slots=True)
class _Endpoint:
    turns: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(CALLS_EACH))
    waiting: int = 0
    calls: int = 0
    answers: bool = True


class Endpoints:
    """Gives turns in the order in which they are asked for. An endpoint is known while anybody waits or calls."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}
        self._calls = anyio.Semaphore(MAX_CALLS)

    def __len__(self) -> int:
        return len(self._endpoints)

    async def take_turn(self, name: str) -> bool:
        """Wait for a turn at an endpoint; False, at once, when too many wait already. A turn must be ended."""
        endpoint = self._endpoints.setdefault(name, _Endpoint())
        if endpoint.waiting >= HELD_EACH:
            return False
        endpoint.waiting += 1
        try:
            await endpoint.turns.acquire()
            try:
                await self._calls.acquire()
            except BaseException:
                endpoint.turns.release()
                raise
            endpoint.calls += 1
        finally:
            endpoint.waiting -= 1
            self._forget(name)
        return True

    def end_turn(self, name: str, *, answered: bool | None) -> None:
        """Give a turn back; ``answered``: the endpoint took what it was told. None when it was not called."""
        endpoint = self._endpoints[name]
        endpoint.calls -= 1
        if answered is not None:
            endpoint.answers = answered
        endpoint.turns.release()
        self._calls.release()
        self._forget(name)

    def answers(self, name: str) -> bool:
        """Whether the last call to an endpoint has gone well, as far as is known."""
        endpoint = self._endpoints.get(name)
        return endpoint is None or endpoint.answers

    def _forget(self, name: str) -> None:
        endpoint = self._endpoints[name]
        if not endpoint.waiting and not endpoint.calls:
            del self._endpoints[name]

"""How many requests a client may make, in the notation of ``limits``.

A client has as many at once as the limit says, and those that it has used come back one by one, evenly. So there is no
moment at which a window ends and a client has twice as many. This is the generic cell rate algorithm (ITU-T I.371):
of each client only the time is kept at which it will have all of them again.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from limits import parse

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CLIENTS: Final = 10_000
"""Clients that are remembered at once; one more has that forgotten which has asked least recently."""

_NETWORK_BITS: Final = 64  # of IPv6: the least that one customer of a provider has
_ROUNDING: Final = 1e-6  # of a request


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has left of the limit; ``next_s`` seconds later it has one more, unless it has all."""

    allowed: bool
    left: int
    next_s: int


class RateLimit:
    """The limit of each client, such as ``600/minute``; ``clock`` gives seconds."""

    def __init__(self, limit: str, clock: Callable[[], float]) -> None:
        item = parse(limit)
        self.text = limit
        self._most = item.amount
        self._window_s = item.get_expiry()
        self._each_s = self._window_s / self._most
        self._clock = clock
        # Apart, so that no crowd of addresses has tokens forgotten.
        self._tokens = Clients(MAX_CLIENTS)
        self._addresses = Clients(MAX_CLIENTS)

    def count(self, *, token: str | None, address: str) -> Standing:
        """Count a request of the token with this name, or else of the address. One that is refused uses nothing."""
        clients, key = (self._addresses, _network(address)) if token is None else (self._tokens, token)
        now = self._clock()
        missing_s = clients.full_again_at(key, now) - now
        allowed = self._left(missing_s) > 0
        if allowed:
            missing_s += self._each_s
        clients.keep(key, now + missing_s, now)
        return self._standing(missing_s, allowed=allowed)

    def look(self, *, address: str) -> Standing:
        """Return what an address has left, and count nothing."""
        now = self._clock()
        missing_s = self._addresses.full_again_at(_network(address), now) - now
        return self._standing(missing_s, allowed=self._left(missing_s) > 0)

    def headers(self, standing: Standing) -> dict[str, str]:
        """Return the header fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"default";q={self._most};w={self._window_s}',
            "RateLimit": f'"default";r={standing.left};t={standing.next_s}',
        }

    def _left(self, missing_s: float) -> int:
        return self._most - math.ceil(missing_s / self._each_s - _ROUNDING)

    def _standing(self, missing_s: float, *, allowed: bool) -> Standing:
        left = self._left(missing_s)
        next_s = missing_s - (self._most - left - 1) * self._each_s
        return Standing(allowed, left, max(1, math.ceil(next_s - _ROUNDING)))


class Clients:
    """When each client has all of its requests again: at most so many are remembered, those that have asked last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._full_again_at: OrderedDict[str, float] = OrderedDict()  # who has asked least recently first

    def __len__(self) -> int:
        return len(self._full_again_at)

    def full_again_at(self, key: str, now: float) -> float:
        """Return the time at which a client has all again: now, for one that has them."""
        return max(self._full_again_at.get(key, now), now)

    def keep(self, key: str, at: float, now: float) -> None:
        """Remember the time of a client that has asked now, and forget who has all again."""
        self._full_again_at[key] = at
        self._full_again_at.move_to_end(key)
        while len(self) > self._most or (self._full_again_at and next(iter(self._full_again_at.values())) <= now):
            self._full_again_at.popitem(last=False)


def _network(address: str) -> str:
    """Return what counts as one client: an address of IPv4, a network of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS))
    return address

"""How many requests a client may make: ``limits``, with counts that stay in bounded memory.

The storage in memory that comes with ``limits`` starts a thread every 10 ms that goes through all keys, and keeps as
many of these as there are addresses.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from limits import parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CLIENTS: Final = 10_000
"""Clients whose requests are counted at once; one more has the oldest count forgotten."""

_NETWORK_BITS: Final = 64  # of IPv6: the least that one customer of a provider has


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has left of the limit; ``reset_s`` seconds later it has all of it again."""

    allowed: bool
    left: int
    reset_s: int


class RateLimit:
    """The limit of each client: so many requests from its first one until the time is over, and so on.

    ``limit`` is in the notation of ``limits``, such as ``600/minute``; ``clock`` gives seconds.
    """

    def __init__(self, limit: str, clock: Callable[[], float]) -> None:
        self.text = limit
        self._item = parse(limit)
        self._clock = clock
        # Apart, so that no crowd of addresses has the counts of tokens forgotten.
        self._tokens = FixedWindowRateLimiter(WindowCounts(clock, MAX_CLIENTS))
        self._addresses = FixedWindowRateLimiter(WindowCounts(clock, MAX_CLIENTS))

    def count(self, *, token: str | None, address: str) -> Standing:
        """Count a request of the token with this name, or else of the address."""
        limiter, key = (self._addresses, _network(address)) if token is None else (self._tokens, token)
        allowed = limiter.hit(self._item, key)
        return self._standing(limiter, key, allowed=allowed)

    def look(self, *, address: str) -> Standing:
        """Return what an address has left, and count nothing."""
        key = _network(address)
        return self._standing(self._addresses, key, allowed=self._addresses.test(self._item, key))

    def _standing(self, limiter: FixedWindowRateLimiter, key: str, *, allowed: bool) -> Standing:
        stats = limiter.get_window_stats(self._item, key)
        reset_s = math.ceil(stats.reset_time - self._clock())
        return Standing(allowed, stats.remaining, min(max(reset_s, 1), self._item.get_expiry()))

    def headers(self, standing: Standing) -> dict[str, str]:
        """Return the header fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"default";q={self._item.amount};w={self._item.get_expiry()}',
            "RateLimit": f'"default";r={standing.left};t={standing.reset_s}',
        }


class WindowCounts(Storage):
    """Counts of at most so many keys, all with one and the same expiry. What has ended goes first."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        super().__init__()
        self._clock = clock
        self._most = most
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # the first ends first

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may go wrong in it."""
        return ValueError

    def __len__(self) -> int:
        return len(self._windows)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and return the count of the key's window, which begins now if there is none."""
        now = self._clock()
        while self._windows and next(iter(self._windows.values()))[0] <= now:
            self._windows.popitem(last=False)
        if key not in self._windows and len(self._windows) >= self._most:
            self._windows.popitem(last=False)
        ends_at, count = self._windows.get(key, (now + expiry, 0))
        self._windows[key] = ends_at, count + amount
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of the key's window."""
        ends_at, count = self._windows.get(key, (-math.inf, 0))
        return count if ends_at > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the key's window ends, on the clock."""
        return self._windows.get(key, (self._clock(), 0))[0]

    def check(self) -> bool:
        """Return that it works."""
        return True

    def reset(self) -> int:
        """Forget everything; return how many keys that were."""
        forgotten = len(self._windows)
        self._windows.clear()
        return forgotten

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.pop(key, None)


def _network(address: str) -> str:
    """Return what counts as one client: an address of IPv4, a network of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS))
    return address

"""What becomes of a callback after a call, decided without input or output."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from thumbq.core.retry import Bury, Delete, Release

CALLS: Final = 14
"""How often a callback is called before it is buried."""

MAX_CALLS: Final = 256
"""The most calls of a replica at once, each with a connection."""

MAX_DELAY_S: Final = 43_200.0
"""The longest time that a queue hides a message for."""

_DELAYS_S: Final = (5, 30, 2 * 60, 10 * 60, 30 * 60, 3_600, 2 * 3_600, 4 * 3_600, 8 * 3_600)
_JITTER: Final = 0.1
_NOT_SUCCESS: Final = 300


def delay_s(calls: int, jitter: float) -> float:
    """Return after how many seconds a callback is called again that was called so often already (1 is the first).

    ``jitter`` is drawn from [0, 1): up to a tenth is added, or taken off the longest delay.
    """
    spread = _JITTER * jitter
    nominal_s = _DELAYS_S[calls - 1] if calls <= len(_DELAYS_S) else MAX_DELAY_S
    return min(nominal_s * (1 + spread), MAX_DELAY_S * (1 - spread))


def after_answer(status: int, retry_after_s: float | None, *, calls: int, jitter: float) -> Delete | Release | Bury:
    """Decide after an answer to this call: 2xx is success, 410 the end, and all else is tried again."""
    if HTTPStatus.OK <= status < _NOT_SUCCESS:
        return Delete()
    if status == HTTPStatus.GONE:
        return Bury("callback-gone", "the endpoint answered 410: it wants no callbacks any more")
    again = _again(f"the endpoint answered {status}", calls, jitter)
    if isinstance(again, Bury) or retry_after_s is None:
        return again
    return Release(max(again.delay_s, min(retry_after_s, MAX_DELAY_S)))


def after_no_answer(reason: str, *, calls: int, jitter: float) -> Release | Bury:
    """Decide after a call that was not answered."""
    return _again(reason, calls, jitter)


def _again(reason: str, calls: int, jitter: float) -> Release | Bury:
    if calls >= CALLS:
        return Bury("callback-failed", f"{calls} calls failed, the last one with: {reason}")
    return Release(delay_s(calls, jitter))

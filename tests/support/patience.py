"""How long tests wait for what must happen: one factor, so that a slow machine fails none and what hangs still ends.

Seconds in tests are those of an idle machine. On virtual time they are exact.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import anyio

from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE: Final = 8
"""How many times as long as on an idle machine anything may take."""


def patience(seconds: float) -> float:
    """Return how long to wait for what takes so many seconds, at the most, on an idle machine."""
    try:
        virtual = isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    except RuntimeError:
        virtual = False
    return seconds if virtual else PATIENCE * seconds


@contextmanager
def within(seconds: float) -> Iterator[anyio.CancelScope]:
    """Raise TimeoutError when what is inside takes longer than is patient."""
    with anyio.fail_after(patience(seconds)) as scope:
        yield scope


async def until(condition: Callable[[], Any], *, within_s: float, what: str | Callable[[], str]) -> Any:
    """Wait until ``condition`` (plain or async) gives something true, and return that; ``what`` says what it was."""
    try:
        with within(within_s):
            # A look may cost requests; what took long already may be seen a moment later.
            for pause_s in chain(repeat(0.02, 10), repeat(0.05, 20), repeat(0.1)):
                found = condition()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await anyio.sleep(pause_s)
    except TimeoutError:
        missing = what if isinstance(what, str) else what()
        raise AssertionError(f"not within {patience(within_s)} s: {missing}") from None

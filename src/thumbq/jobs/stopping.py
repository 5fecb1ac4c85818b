"""A stop, as deliveries see it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator


class StopRequest:
    """The request to stop: no delivery begins after it, and what no render has started for is interrupted."""

    def __init__(self) -> None:
        self.requested = False
        self._scopes: set[anyio.CancelScope] = set()

    def request(self) -> None:
        """Interrupt all that can be interrupted, now and later."""
        self.requested = True
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[anyio.CancelScope]:
        """Run code that the request interrupts; the scope's ``cancelled_caught`` says afterwards whether it has."""
        with anyio.CancelScope() as scope:
            if self.requested:
                scope.cancel()
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

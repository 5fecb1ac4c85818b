"""Fencing: no request for a message starts once its lease is lost, whichever part of the code would make it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from thumbq.errors import BackendError
from thumbq.jobs.wrappedstore import WrappedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_holds: ContextVar[Callable[[], bool] | None] = ContextVar("holds", default=None)


class LeaseLost(BackendError):
    """A request was not made, because its message belongs to somebody else by now."""


@contextmanager
def fenced(holds: Callable[[], bool]) -> Iterator[None]:
    """Fence this task and those that it starts: ``holds`` says whether the lease stands."""
    token = _holds.set(holds)
    try:
        yield
    finally:
        _holds.reset(token)


def is_held() -> bool:
    """Whether the lease of this task's message stands, also when nobody has noticed a loss yet.

    Timers do not run while a machine sleeps or a process is stopped: on waking up, the work may go on before the
    heartbeat loop looks at the lease. Code that works for no message is never fenced.
    """
    holds = _holds.get()
    return holds is None or holds()


def check() -> None:
    """Raise LeaseLost when this task works for a message whose lease is lost."""
    if not is_held():
        raise LeaseLost("the lease on the message is lost")


class FencedStore(WrappedStore):
    """An ObjectStore that checks before each request."""

    @contextmanager
    def _request(self) -> Iterator[None]:
        check()
        yield

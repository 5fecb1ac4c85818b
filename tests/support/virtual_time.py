"""An event loop on virtual time: what only waits takes no time, and a slow machine changes nothing."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


_MOMENT_S: Final = 1e-6
_END_S: Final = 20_000


class Stuck(Exception):
    """What is awaited will never happen: hours have passed, or nothing is ready, no timer set and no thread at work."""


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting it moves the time on. Only for a thread's answer it really waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.now = 0.0
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.threads_at_work:
            return super().select(None)
        if timeout is None or self.now > _END_S:
            tasks = "\n".join(map(repr, asyncio.all_tasks(self._loop)))
            raise Stuck(f"at {self.now:.0f} s with these tasks:\n{tasks}")
        self.now += timeout
        return found


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes on by what would have been waited.

    Threads may be waited for, as the local backend's are: ``asyncio.wrap_future`` and ``anyio.to_thread.run_sync`` take
    no time. Of sockets and other processes it knows nothing.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping(self)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time, which begins at 0. Any thread may ask."""
        return self._jumping.now

    def call_at(  # type: ignore[override]  # it passes on whatever comes
        self, when: float, *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        """Set a timer that takes a moment at least, as on a real clock.

        A loop that sleeps for what is left until a deadline would spin on the last bit of a rounded sum.
        """
        return super().call_at(max(when, self.time() + _MOMENT_S), *args, **options)

    def thread_began(self) -> None:
        """Let the time stand still until ``thread_ended``."""
        self._jumping.threads_at_work += 1

    def thread_ended(self) -> None:
        """End what ``thread_began`` began."""
        self._jumping.threads_at_work -= 1


def on_virtual_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's body on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(work())


def _wrap_future(*args: Any, **options: Any) -> asyncio.Future[Any]:
    wrapped: asyncio.Future[Any] = _plain_wrap_future(*args, **options)
    loop = wrapped.get_loop()
    if isinstance(loop, VirtualTimeLoop) and not wrapped.done():
        loop.thread_began()
        wrapped.add_done_callback(lambda _: loop.thread_ended())
    return wrapped


async def _run_sync(*args: Any, **options: Any) -> Any:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        return await _plain_run_sync(*args, **options)
    loop.thread_began()
    try:
        return await _plain_run_sync(*args, **options)
    finally:
        loop.thread_ended()


_plain_wrap_future = asyncio.wrap_future
_plain_run_sync = to_thread.run_sync
asyncio.wrap_future = _wrap_future
to_thread.run_sync = _run_sync  # type: ignore[assignment]  # it passes on whatever comes

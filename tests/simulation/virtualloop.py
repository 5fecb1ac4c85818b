"""An event loop whose time is virtual: when nothing is ready, it jumps to the next timer.

Every handle belongs to the process in whose context it was made (``PROCESS``), so that a simulated process can be
frozen, suspended and killed as a whole.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import io
import itertools
import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from anyio._backends import _asyncio as anyio_asyncio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Context

MAX_TURNS_AT_ONCE: Final = 500
"""Turns of the loop at one moment before time goes on all the same: a cancelled anyio scope may spin for a while."""

_ROUNDING_S: Final = 1e-9
"""More than what is lost to rounding where a process's time differs from the world's: a timer never comes too early."""


class Stuck(Exception):
    """The simulated world cannot go on: nothing is ready and no timer is set, or it has gone on for too long."""


class Process:
    """A simulated operating system process, as the loop sees it. Times are seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.lag = 0.0
        """How far the process's own loop time is behind the world's, because it was suspended."""
        self.waiting: list[asyncio.Handle] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("PROCESS", default=None)
_NOBODY: Final = contextvars.Context()


class _Timer(asyncio.TimerHandle):
    """A timer in the world's time, and how far its process was behind when it was set."""

    __slots__ = ("lag",)
    _context: Context
    _scheduled: bool
    _when: float
    lag: float


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets, signals and threads. ``max_turns`` and ``max_time_s`` bound a run."""

    _ready: Any
    _scheduled: list[Any]
    _stopping: bool

    def __init__(self, *, max_turns: int, max_time_s: float) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.failure: BaseException | None = None
        """Raised by the loop itself before its next turn: no code under test can catch it."""
        self._max_turns = max_turns
        self._max_time_s = max_time_s
        self._turns_now = 0
        self._thread = threading.get_ident()

    def allow(self, turns: int) -> None:
        """Go on for so many turns, whatever has happened."""
        self.failure = None
        self._max_turns = self.turns + turns
        self._max_time_s = math.inf

    def time(self) -> float:
        """Return the time as the running process's timers see it."""
        process = PROCESS.get()
        return self.now if process is None or not process.lag else self.now - process.lag + _ROUNDING_S

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a moment of the running process's time."""
        process = PROCESS.get()
        lag = 0.0 if process is None else process.lag
        timer = _Timer(when + lag, callback, args, self, context)
        timer.lag = lag
        timer._scheduled = True
        heapq.heappush(self._scheduled, timer)
        return timer

    def world_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call back in the world's own time, outside of every process."""
        return _NOBODY.run(self.call_at, self.now + delay_s, callback, *args)

    def _write_to_self(self) -> None:
        if threading.get_ident() != self._thread:
            raise Stuck("a thread spoke to the loop: something real was waited for")

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Let asynchronous generators of thrown-away tasks be: there is nobody left to run their clean-up."""
        self._asyncgens.discard(agen)  # type: ignore[attr-defined]

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError

    def freeze(self, process: Process) -> None:
        """Run nothing of a process until it is thawed."""
        process.frozen = True

    def thaw(self, process: Process, *, suspended_s: float = 0.0) -> None:
        """Let a process go on; ``suspended_s`` is how much of the time its timers did not see."""
        process.frozen = False
        process.lag += suspended_s
        for handle in process.waiting:
            if not (isinstance(handle, _Timer) and self._put_off(handle)):
                self._ready.append(handle)
        process.waiting.clear()

    def _run_once(self) -> None:
        self._bound()
        ready, scheduled = self._ready, self._scheduled
        if not ready or self._turns_now > MAX_TURNS_AT_ONCE:
            self._jump()
        while scheduled and scheduled[0]._when <= self.now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not self._put_off(timer):
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None or not (process.dead or process.frozen):
                handle._run()
            else:
                process.waiting.append(handle)

    def _bound(self) -> None:
        self.turns += 1
        self._turns_now += 1
        if self.failure is not None:
            raise self.failure
        if self.turns > self._max_turns or self.now > self._max_time_s:
            raise Stuck(f"no end after {self.turns} turns and {self.now:.0f} s\n{self.stacks()}")

    def _jump(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)
        if not scheduled:
            if not self._ready:
                raise Stuck(f"nothing is ready and no timer is set\n{self.stacks()}")
            return
        if scheduled[0]._when > self.now:
            self.now = scheduled[0]._when
            self._turns_now = 0

    def _put_off(self, timer: _Timer) -> bool:
        """Set a timer again whose process was suspended since; it is that much later in the world's time."""
        process = timer._context.get(PROCESS)
        if process is None or process.lag <= timer.lag:
            return False
        timer._when += process.lag - timer.lag
        timer._scheduled = True
        timer.lag = process.lag
        heapq.heappush(self._scheduled, timer)
        return True

    def stacks(self) -> str:
        """Return the stacks of all tasks."""
        text = io.StringIO()
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            task.print_stack(file=text)
        return text.getvalue()


class _OrderedSet(dict[Any, None]):
    """What anyio needs of a set, in the order of insertion; ``serial`` counts the sets."""

    serials = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.serial = next(self.serials)

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    remove = dict.__delitem__


@contextmanager
def same_order_every_time() -> Iterator[None]:
    """Make anyio cancel tasks in the order in which they came: its sets are in the order of addresses."""
    scope = anyio_asyncio.CancelScope
    plain = scope.__init__
    _OrderedSet.serials = itertools.count()

    def ordered(self: Any, deadline: float = float("inf"), shield: bool = False) -> None:  # noqa: FBT001, FBT002
        plain(self, deadline, shield)
        self._tasks, self._child_scopes = _OrderedSet(), _OrderedSet()

    scope.__init__ = ordered  # type: ignore[method-assign]
    scope.__hash__ = lambda self: self._tasks.serial  # type: ignore[method-assign,attr-defined]
    try:
        yield
    finally:
        scope.__init__ = plain  # type: ignore[method-assign]
        del scope.__hash__

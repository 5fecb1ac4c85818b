"""All tasks of a run, and how those come to an end that would never do so by themselves."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from simulation.virtualloop import PROCESS, Process, Stuck, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Iterable

_LAST_TURNS: Final = 5_000


class Tasks:
    """Every task that a loop has made, and the process that it belongs to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._tasks: list[tuple[asyncio.Task[Any], Process | None]] = []
        loop.set_task_factory(self._make)

    def alive(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that have not ended, but for the running one and those of dead processes."""
        alive = [task for task, process in self._tasks if not task.done() and not (process and process.dead)]
        return [task for task in alive if task is not asyncio.current_task()]

    def throw_away(self, processes: Iterable[Process], tops: Iterable[asyncio.Task[Any]]) -> None:
        """Let dead processes unwind (nothing answers them any more), by cancelling the tasks at their tops."""
        self._loop.set_exception_handler(_ignore)
        for process in processes:
            process.dead = False
            self._loop.thaw(process)
        self._loop.allow(_LAST_TURNS)
        for task in tops:
            task.cancel()
        with suppress(Stuck):
            if left := [task for task, _ in self._tasks if not task.done()]:
                self._loop.run_until_complete(asyncio.wait(left))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # some have not even begun
            self._close()
        self._loop.close()

    def _make(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        context = options.get("context")
        self._tasks.append((task, PROCESS.get() if context is None else context.get(PROCESS)))
        return task

    def _close(self) -> None:
        for task, _ in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            elif not task.cancelled():
                task.exception()


def _ignore(_loop: object, _context: object) -> None:
    """Say nothing of what is thrown away."""


def _close(coro: Any) -> None:
    """Close a coroutine whose clean-up wants to wait, which it cannot any more."""
    for _ in range(20):
        try:
            coro.close()
        except BaseException:  # noqa: BLE001 - whatever the dead still want to say
            continue
        return

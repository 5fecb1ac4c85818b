"""The supervisor of the render processes: a fixed number of them, each replaced when it has died or is due for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import structlog
from anyio import TASK_STATUS_IGNORED, to_thread

from thumbq.errors import SetupError
from thumbq.pool.idleprocesses import IdleProcesses
from thumbq.pool.pooledprocess import PooledProcess
from thumbq.ports.observing import ProcessReplaced, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from anyio.abc import TaskStatus

    from thumbq.errors import Problem
    from thumbq.pool.config import Recycling
    from thumbq.pool.processhandle import ProcessHandle
    from thumbq.ports.observing import Cause

T = TypeVar("T")

_RETRY_AFTER_S: Final = 0.2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Supervisor:
    """Keeps ``size`` render processes in service, each made by ``new``, and each with a task until its process is gone.

    A process that cannot be started is tried again with each job that asks for one. ``queues`` decide who comes next
    when all processes are busy (see core/fairness.py).
    """

    def __init__(
        self, new: Callable[[], ProcessHandle], *, size: int, recycling: Recycling, queues: Mapping[str, int | None]
    ) -> None:
        self.unconfined: Problem | None = None
        """Why the newest process runs without a sandbox, if it does and should not."""
        self._new = new
        self._size = size
        self._recycling = recycling
        self._tasks = anyio.create_task_group()
        self._threads = anyio.CapacityLimiter(2 * size + 1)
        self._idle = IdleProcesses(queues)
        self._processes: set[PooledProcess] = set()
        self._missing = 0
        self._outgoing: PooledProcess | None = None
        """The one that is being recycled: one at a time, so that there is never more than one process too many."""

    async def open(self) -> None:
        """Start all processes. Raises SetupError; then, too, ``close`` has to be called."""
        await self._tasks.__aenter__()
        for _ in range(self._size):
            await self._tasks.start(self._supervise)

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Kill all processes, also those that are still starting, and wait for their end."""
        for process in self._processes:
            process.handle.kill()
        self._tasks.cancel_scope.cancel()
        if isinstance(error, asyncio.CancelledError):
            return await self._tasks.__aexit__(kind, error, traceback)
        # The group would wrap the error of those who use the pool into an exception group.
        await self._tasks.__aexit__(None, None, None)
        return None

    def pids(self) -> Sequence[int]:
        """Return the process ids of the processes in service."""
        return tuple(process.handle.pid for process in self._processes if process.in_service())

    async def acquire(self, queue: str) -> PooledProcess:
        """Wait for an idle process that is alive. Raises RenderUnavailable when none can be started."""
        # A job that is cancelled already must not take a process: it would have to be killed.
        await anyio.lowlevel.checkpoint()
        missing, self._missing = self._missing, 0
        for _ in range(missing):
            self._tasks.start_soon(self._replace, None, "not-started")
        while not (process := await self._idle.take(queue)).handle.alive():
            self.discard(process, "died-idle")
        return process

    def release(self, process: PooledProcess) -> None:
        """Take a process back, if it has survived; one that is due for recycling works until its successor is ready."""
        if process.over.is_set():
            return
        if self._outgoing is None and process.is_due(self._recycling):
            self._outgoing = process
            self._tasks.start_soon(self._replace, process, "recycled")
        self._idle.put(process)

    def discard(self, process: PooledProcess, reason: Cause) -> None:
        """Kill a process, if it is not dead yet, and replace it."""
        if process.over.is_set():
            return
        process.handle.kill()
        self._idle.remove(process)
        process.over.set()
        if process is not self._outgoing:
            self._tasks.start_soon(self._replace, process, reason)

    async def _replace(self, old: PooledProcess | None, reason: Cause) -> None:
        """Start a process in the place of another one, and supervise it."""
        try:
            await self._supervise(old, reason)
        except SetupError:
            # The fork server may have died with its processes, and not be quite gone: the next one will do.
            await anyio.sleep(_RETRY_AFTER_S)
            try:
                await self._supervise(old, reason)
            except SetupError as error:
                self._give_up(old, reason, error)

    def _give_up(self, old: PooledProcess | None, reason: Cause, error: SetupError) -> None:
        if self._outgoing is old:
            self._outgoing = None
        if old is None or old.over.is_set():
            self._missing += 1
        what = error.problems[0].what
        log.error("pool.process_not_started", reason=reason, error=what, processes=len(self.pids()))
        if all(process.over.is_set() for process in self._processes):
            self._idle.refuse(f"there is no process to render in: {what}")

    async def _supervise(
        self,
        old: PooledProcess | None = None,
        reason: Cause | None = None,
        *,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Be the task of one process: start it in the place of ``old``, keep it in service, and clean up after it."""
        process = PooledProcess(self._new())
        self._processes.add(process)
        try:
            await self._in_thread(process.handle.start)
            try:
                # The thread is waited for also when the pool closes meanwhile: nobody is replaced then any more.
                await anyio.lowlevel.checkpoint_if_cancelled()
                await self._retire(old)
                self._put_in_service(process, old, reason)
                task_status.started()
                await process.over.wait()
            finally:
                await self._clean_up(process)
        finally:
            self._processes.discard(process)

    async def _retire(self, old: PooledProcess | None) -> None:
        """Wait until a process that is recycled has done its job; its place is free then."""
        if old is not None and not old.over.is_set():
            old.leaving = True
            if self._idle.remove(old):
                old.over.set()
            await old.over.wait()

    def _put_in_service(self, process: PooledProcess, old: PooledProcess | None, reason: Cause | None) -> None:
        if self._outgoing is old:
            self._outgoing = None
        process.ready = True
        self.unconfined = process.handle.unconfined
        if reason is not None:
            emit(ProcessReplaced(reason))
            old_pid = old.handle.pid if old is not None else None
            write = log.warning if reason == "died-idle" else log.info  # of the others a job tells
            write(
                "pool.process_replaced", reason=reason, pid=process.handle.pid, old=old_pid, processes=len(self.pids())
            )
        # What this task logs from now on has nothing to do with the job that it was started for.
        structlog.contextvars.clear_contextvars()
        asyncio.get_running_loop().add_reader(process.handle.sentinel, self._died, process)
        self._idle.put(process)

    def _died(self, process: PooledProcess) -> None:
        asyncio.get_running_loop().remove_reader(process.handle.sentinel)
        self.discard(process, "died-idle" if self._idle.remove(process) else "render-crashed")

    async def _clean_up(self, process: PooledProcess) -> None:
        process.over.set()
        asyncio.get_running_loop().remove_reader(process.handle.sentinel)
        process.handle.leave_loop()
        with anyio.CancelScope(shield=True):
            await self._in_thread(process.clean_up)
        process.gone.set()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, limiter=self._threads)

"""The pool's children as a whole: a fixed number, each replaced when it died, had to die, or is worn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import structlog
from anyio import TASK_STATUS_IGNORED, to_thread

from thumbq.errors import SetupError
from thumbq.pool.member import Member
from thumbq.pool.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from anyio.abc import TaskStatus

    from thumbq.errors import Problem
    from thumbq.pool.childprocess import ChildProcess
    from thumbq.pool.member import Wear

T = TypeVar("T")

_RETRY_AFTER_S: Final = 0.2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Crew:
    """Keeps ``size`` children at work, each made by ``new``. Each has a task from its start until it is cleared away.

    A child that cannot be started at once is tried again with every render that asks for one. ``queues`` say whose turn
    is next when all children are busy (see core/fairness.py).
    """

    def __init__(
        self, new: Callable[[], ChildProcess], *, size: int, wear: Wear, queues: Mapping[str, int | None]
    ) -> None:
        self.unconfined: Problem | None = None
        """Why the newest child runs without a sandbox, if it does and should not."""
        self._new = new
        self._size = size
        self._wear = wear
        self._tasks = anyio.create_task_group()
        self._threads = anyio.CapacityLimiter(2 * size + 1)
        self._turns = Turns(queues)
        self._members: set[Member] = set()
        self._missing = 0
        self._worn: Member | None = None
        """The one whose successor is on its way: one at a time, so that there is never more than one child too many."""

    async def open(self) -> None:
        """Start all children. Raises SetupError; then, too, it has to be closed."""
        await self._tasks.__aenter__()
        for _ in range(self._size):
            await self._tasks.start(self._live)

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Kill all children, also those that are only being started, and wait until they are gone."""
        for member in self._members:
            member.process.kill()
        self._tasks.cancel_scope.cancel()
        if isinstance(error, asyncio.CancelledError):
            return await self._tasks.__aexit__(kind, error, traceback)
        # The group would wrap the error of those who use the pool into an exception group.
        await self._tasks.__aexit__(None, None, None)
        return None

    def pids(self) -> Sequence[int]:
        """Return the process ids of the children that take jobs."""
        return tuple(member.process.pid for member in self._members if member.serves())

    async def take(self, queue: str) -> Member:
        """Wait for a child that has nothing to do and is alive. Raises RenderUnavailable when none can be started."""
        # A render that is cancelled already must not take one: it would have to be killed.
        await anyio.lowlevel.checkpoint()
        missing, self._missing = self._missing, 0
        for _ in range(missing):
            self._tasks.start_soon(self._replace, None, "not-started")
        while not (member := await self._turns.take(queue)).process.alive():
            self.lose(member, "died-idle")
        return member

    def put_back(self, member: Member) -> None:
        """Give back a child, if it has survived; one that is worn goes on until its successor is ready."""
        if member.over.is_set():
            return
        if self._worn is None and member.is_worn(self._wear):
            self._worn = member
            self._tasks.start_soon(self._replace, member, "worn")
        self._turns.put(member)

    def lose(self, member: Member, reason: str) -> None:
        """Kill a child, if it is not dead yet, and have it replaced."""
        if member.over.is_set():
            return
        member.process.kill()
        self._turns.withdraw(member)
        member.over.set()
        if member is not self._worn:
            self._tasks.start_soon(self._replace, member, reason)

    async def _replace(self, old: Member | None, reason: str) -> None:
        """Start a child in the place of another one, and stay with it."""
        try:
            await self._live(old, reason)
        except SetupError:
            # The fork server may have died with the children, and not be quite gone: the next one will do.
            await anyio.sleep(_RETRY_AFTER_S)
            try:
                await self._live(old, reason)
            except SetupError as error:
                self._give_up(old, reason, error)

    def _give_up(self, old: Member | None, reason: str, error: SetupError) -> None:
        if self._worn is old:
            self._worn = None
        if old is None or old.over.is_set():
            self._missing += 1
        what = error.problems[0].what
        log.error("pool.child_not_started", reason=reason, error=what, children=len(self.pids()))
        if all(member.over.is_set() for member in self._members):
            self._turns.refuse(f"there is no process to render in: {what}")

    async def _live(
        self, old: Member | None = None, reason: str = "start", *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Be the task of one child: start it, relieve the old one, let it serve, and clear it away."""
        member = Member(self._new())
        self._members.add(member)
        try:
            await self._in_thread(member.process.start)
            try:
                # The thread is waited for also when the pool closes meanwhile: nobody is replaced then any more.
                await anyio.lowlevel.checkpoint_if_cancelled()
                await self._relieve(old)
                self._enter(member, old, reason)
                task_status.started()
                await member.over.wait()
            finally:
                await self._clear(member)
        finally:
            self._members.discard(member)

    async def _relieve(self, old: Member | None) -> None:
        """Wait until a worn child has done its job; its place is free then."""
        if old is not None and not old.over.is_set():
            old.leaving = True
            if self._turns.withdraw(old):
                old.over.set()
            await old.over.wait()

    def _enter(self, member: Member, old: Member | None, reason: str) -> None:
        if self._worn is old:
            self._worn = None
        member.serving = True
        self.unconfined = member.process.unconfined
        if reason != "start":
            old_pid = old.process.pid if old is not None else None
            log.info(
                "pool.child_replaced", reason=reason, pid=member.process.pid, old=old_pid, children=len(self.pids())
            )
        # What this task logs from now on has nothing to do with the job that it was started for.
        structlog.contextvars.clear_contextvars()
        asyncio.get_running_loop().add_reader(member.process.sentinel, self._died, member)
        self._turns.put(member)

    def _died(self, member: Member) -> None:
        asyncio.get_running_loop().remove_reader(member.process.sentinel)
        self.lose(member, "died-idle" if self._turns.withdraw(member) else "render-crashed")

    async def _clear(self, member: Member) -> None:
        member.over.set()
        asyncio.get_running_loop().remove_reader(member.process.sentinel)
        with anyio.CancelScope(shield=True):
            await self._in_thread(member.clear)
        member.cleared.set()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, limiter=self._threads)

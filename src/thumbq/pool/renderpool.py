"""The pool: a fixed number of children, each replaced when it had to die, with no effect on the others."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self, TypeVar

import anyio

from thumbq.core.fairness import ONE_QUEUE
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.imaging import Limits, Refusal
from thumbq.pool import child
from thumbq.pool.childprocess import ChildProcess
from thumbq.pool.crew import Crew
from thumbq.pool.member import Wear
from thumbq.pool.replies import Done, Failed, decode
from thumbq.pool.spool import Spool, open_spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from types import TracebackType

    from thumbq.core.preset import Preset
    from thumbq.errors import Problem
    from thumbq.pool.member import Member
    from thumbq.pool.sandbox import Mode
    from thumbq.ports import Rendered, RenderSource

T = TypeVar("T")

_LATE_S: Final = 1.0
"""A time-out that is noticed so much too late was no image's doing: everything stood still."""


class RenderPool:
    """A Renderer. Use it as an async context manager within one task: entering starts all children, leaving kills them.

    ``timeout_s`` bounds the wall-clock and the CPU time of one render, from when it has a child. ``render`` is a
    function that children can import; the default is the real one, which ``limits`` are for. A child that has done
    ``recycle_jobs`` jobs, or whose resident memory has grown by ``recycle_growth_bytes`` since its first one, works on
    until a fresh one is ready to take its place. ``sandbox`` says whether children are shut in (see pool/sandbox.py):
    ``auto`` where that is possible, ``required`` else they do not start, ``off``. ``queues`` are the names that renders
    come with, each with its weight: they decide whose turn is next (see core/fairness.py). Entering raises SetupError.
    """

    def __init__(
        self,
        *,
        processes: int,
        memory_limit_bytes: int,
        timeout_s: float,
        limits: Limits | None = None,
        recycle_jobs: int = 1000,
        recycle_growth_bytes: int = 64 << 20,
        sandbox: Mode = "auto",
        queues: Mapping[str, int | None] = ONE_QUEUE,
        render: child.Render | None = None,
    ) -> None:
        new = partial(
            ChildProcess,
            render or partial(child.render_image, limits=limits or Limits()),
            memory_limit_bytes=memory_limit_bytes,
            sandbox=sandbox,
        )
        self._timeout_s = timeout_s
        self._crew = Crew(new, size=processes, wear=Wear(recycle_jobs, recycle_growth_bytes), queues=queues)

    async def __aenter__(self) -> Self:
        try:
            await self._crew.open()
        except BaseException as error:
            await self._crew.close(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._crew.close(kind, error, traceback)

    def children(self) -> Sequence[int]:
        """Return the process ids of the children that take jobs; a killed one is missing until another is ready."""
        return self._crew.pids()

    def unconfined(self) -> Problem | None:
        """Return why the children run without a sandbox, if they do and ``sandbox`` is not off."""
        return self._crew.unconfined

    def source(self) -> AbstractContextManager[Spool]:
        """Open a memory file for one original's bytes; leaving it frees them."""
        return open_spool()

    @asynccontextmanager
    async def acquire(self, queue: str = "") -> AsyncIterator[AcquiredProcess]:
        """Wait for an idle process until it is the queue's turn, and hold it; see ports.Renderer."""
        acquired = AcquiredProcess(self._crew, await self._crew.take(queue), queue=queue, timeout_s=self._timeout_s)
        try:
            yield acquired
        finally:
            acquired.release()


class AcquiredProcess:
    """A RenderProcess: one that the pool has handed out, or the one that has taken its place."""

    def __init__(self, crew: Crew, member: Member, *, queue: str, timeout_s: float) -> None:
        self._crew = crew
        self._member = member
        self._queue = queue
        self._timeout_s = timeout_s

    def release(self) -> None:
        """Give the process back, if it is alive."""
        self._crew.put_back(self._member)

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        """Render what was written to ``source``; see ports.RenderProcess.

        A render that was killed raises at once; its process is replaced behind it. RenderUnavailable says nothing about
        the image: it was not tried.
        """
        if not isinstance(source, Spool):
            raise TypeError("this source was not opened by this pool")
        with open_spool() as output:
            running = await self._submit(source, output, presets)
            return _collect(await self._finish(running, presets, output), output)

    async def _submit(self, source: Spool, output: Spool, presets: Sequence[Preset]) -> Future[bytes]:
        """Hand over the job. A process that dies before it has the job costs another wait."""
        while True:
            try:
                return self._member.process.submit(source, output, presets, self._timeout_s)
            except BrokenProcessPool:
                self._crew.lose(self._member, "died-idle")
                self._member = await self._crew.take(self._queue)

    async def _finish(self, running: Future[bytes], presets: Sequence[Preset], output: Spool) -> Done:
        """Wait for the child's reply, and decide whether the child can go on."""
        crew, member = self._crew, self._member
        try:
            due_at = anyio.current_time() + self._timeout_s
            with anyio.move_on_after(self._timeout_s):
                await _outcome(running)
            late_s = anyio.current_time() - due_at
            cpu_after_s = member.process.cpu_s()
            member.process.rested(cpu_after_s)
            used = _cpu_text(member.process.cpu_before_s, cpu_after_s)
            reply = decode(running.result(), presets, output.size()) if running.done() else None
        except BrokenProcessPool:
            crew.lose(member, "render-crashed")
            await member.cleared.wait()
            raise _crashed(member.exit_code) from None
        except BaseException:
            crew.lose(member, "cancelled")
            raise
        if reply is None:
            crew.lose(member, "decode-timeout")
            if late_s > _LATE_S:
                raise RenderUnavailable(f"the render was cut short: this host stood still for {late_s:.0f} s or more")
            raise RenderKilled("decode-timeout", f"the render took longer than {self._timeout_s:g} s{used}")
        if isinstance(reply, Failed):
            crew.lose(member, "render-failed")
            raise RenderKilled("render-crashed", f"the render failed: {reply.text}")
        if isinstance(reply, Refusal) and reply.code == "out-of-memory":
            crew.lose(member, reply.code)  # what is left of its memory is in pieces
        member.note_job()
        if isinstance(reply, Refusal):
            raise RenderRefused(reply.code, reply.text)
        return reply


async def _outcome(running: Future[T]) -> None:
    """Wait for an executor's future, but never cancel it: an executor that breaks trips over a cancelled one."""
    loop, done = asyncio.get_running_loop(), anyio.Event()
    running.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
    await done.wait()


def _collect(done: Done, output: Spool) -> Rendered:
    """Put the bodies that a child wrote to ``output`` where they belong."""
    offsets = accumulate(done.sizes, initial=0)
    images = tuple(
        replace(image, body=output.read(offset, size))
        for image, offset, size in zip(done.rendered.images, offsets, done.sizes, strict=False)
    )
    return replace(done.rendered, images=images)


def _cpu_text(before_s: float | None, after_s: float | None) -> str:
    """Tell a render that works too long from one that waits, on a host that is too busy or was asleep."""
    return "" if before_s is None or after_s is None else f", of which {after_s - before_s:.1f} s on a CPU"


def _crashed(exit_code: int) -> RenderKilled:
    if exit_code >= 0:
        return RenderKilled("render-crashed", f"the render's process ended with exit code {exit_code}")
    if -exit_code == signal.SIGXCPU:
        return RenderKilled("decode-timeout", "the render took more CPU time than it may have")
    by = signal.Signals(-exit_code).name
    if -exit_code == signal.SIGSYS:
        by += ": it tried what no render does, as an attack would"
    if -exit_code == signal.SIGKILL:
        by += ", perhaps by the kernel because memory ran out"
    return RenderKilled("render-crashed", f"the render's process was killed by {by}")

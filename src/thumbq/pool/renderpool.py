"""The pool: a fixed number of children, each replaced when it had to die, with no effect on the others."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures.process import BrokenProcessPool
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
    from collections.abc import Awaitable, Callable, Mapping, Sequence
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

    async def render(
        self,
        source: RenderSource,
        presets: Sequence[Preset],
        *,
        on_start: Callable[[], Awaitable[None]] | None = None,
        queue: str = "",
    ) -> Rendered:
        """Render what was written to ``source``; see ports.Renderer. Waits for a child until its queue has a turn.

        A render that was killed says so at once; its child is replaced behind it. Raises RenderUnavailable, and has
        not tried the image, when there is no child left and no other can be started.
        """
        if not isinstance(source, Spool):
            raise TypeError("this source was not opened by this pool")
        with open_spool() as output:
            member, running = await self._begin(source, output, presets, on_start, queue)
            return _collect(await self._finish(member, running, presets, output), output)

    async def _begin(
        self,
        source: Spool,
        output: Spool,
        presets: Sequence[Preset],
        on_start: Callable[[], Awaitable[None]] | None,
        queue: str,
    ) -> tuple[Member, Future[bytes]]:
        """Hand the job to a child. One that is found dead, or that dies before it gets the job, costs another turn."""
        while True:
            member = await self._crew.take(queue)
            try:
                if on_start is not None and member.process.alive():
                    await on_start()
                    on_start = None
                return member, member.process.submit(source, output, presets, self._timeout_s)
            except BrokenProcessPool:
                self._crew.lose(member, "died-idle")
            except BaseException:
                self._crew.put_back(member)
                raise

    async def _finish(self, member: Member, running: Future[bytes], presets: Sequence[Preset], output: Spool) -> Done:
        """Wait for the child's reply, and decide whether the child can go on."""
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
            self._crew.lose(member, "render-crashed")
            await member.cleared.wait()
            raise _crashed(member.exit_code) from None
        except BaseException:
            self._crew.lose(member, "cancelled")
            raise
        if reply is None:
            self._crew.lose(member, "decode-timeout")
            if late_s > _LATE_S:
                raise RenderUnavailable(f"the render was cut short: this host stood still for {late_s:.0f} s or more")
            raise RenderKilled("decode-timeout", f"the render took longer than {self._timeout_s:g} s{used}")
        if isinstance(reply, Failed):
            self._crew.lose(member, "render-failed")
            raise RenderKilled("render-crashed", f"the render failed: {reply.text}")
        if isinstance(reply, Refusal) and reply.code == "out-of-memory":
            self._crew.lose(member, reply.code)  # what is left of its memory is in pieces
        self._crew.put_after_job(member)
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

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
from anyio import to_thread

from thumbq.errors import RenderKilled, RenderRefused, SetupError
from thumbq.imaging import Limits, Refusal
from thumbq.pool import child
from thumbq.pool.slot import Slot
from thumbq.pool.spool import Spool, open_spool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from types import TracebackType

    from thumbq.core.preset import Preset
    from thumbq.pool.childprocess import ChildProcess
    from thumbq.ports import Rendered, RenderSource

T = TypeVar("T")

_DECODE_SHARE: Final = 0.75
"""How much of a child's memory limit one decode may be predicted to take; the rest is Python and the libraries."""


class RenderPool:
    """A Renderer. Use it as an async context manager: entering starts all children, leaving kills them.

    ``timeout_s`` bounds the wall-clock and the CPU time of one render, from when it has a child. ``render`` is a
    function that children can import; the default is the real one. Entering raises SetupError.
    """

    def __init__(
        self, *, processes: int, memory_limit_bytes: int, timeout_s: float, render: child.Render | None = None
    ) -> None:
        limits = Limits(max_decode_bytes=int(memory_limit_bytes * _DECODE_SHARE))
        self._render = render or partial(child.render_image, limits=limits)
        self._timeout_s = timeout_s
        self._slots = [Slot(memory_limit_bytes) for _ in range(processes)]
        self._free = list(self._slots)
        self._turns = anyio.Semaphore(processes)
        self._threads = anyio.CapacityLimiter(processes)

    async def __aenter__(self) -> Self:
        try:
            for slot in self._slots:
                await self._in_thread(slot.ready)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    def children(self) -> Sequence[int]:
        """Return the process ids of the children there are now."""
        return tuple(slot.child.pid for slot in self._slots if slot.child is not None)

    def source(self) -> AbstractContextManager[Spool]:
        """Open a memory file for one original's bytes; leaving it frees them."""
        return open_spool()

    async def render(
        self, source: RenderSource, presets: Sequence[Preset], *, on_start: Callable[[], Awaitable[None]] | None = None
    ) -> Rendered:
        """Render what was written to ``source``; see ports.Renderer. Waits, first come first served, for a child."""
        if not isinstance(source, Spool):
            raise TypeError("this source was not opened by this pool")
        async with self._turns:
            slot = self._free.pop()
            try:
                with open_spool() as output:
                    reply = await self._run(slot, source, output, presets, on_start)
                    return _collect(reply, output)
            finally:
                self._free.append(slot)

    async def _run(
        self,
        slot: Slot,
        source: Spool,
        output: Spool,
        presets: Sequence[Preset],
        on_start: Callable[[], Awaitable[None]] | None,
    ) -> child.Done:
        """Have the slot's child do a job, and replace the child unless it can go on."""
        reply: child.Done | Refusal | child.Failed | None = None
        try:
            process = await self._ready(slot)
            if on_start is not None:
                await on_start()
            running = process.submit(self._render, source, output, presets, self._timeout_s)
            with anyio.move_on_after(self._timeout_s):
                reply = await _outcome(running)
        except BrokenProcessPool:
            raise _crashed(await self._replace(slot)) from None
        except BaseException:
            await self._replace(slot)
            raise
        if isinstance(reply, child.Done):
            return reply
        if isinstance(reply, Refusal):
            if reply.code == "out-of-memory":
                await self._replace(slot)  # what is left of its memory is in pieces
            raise RenderRefused(reply.code, reply.text)
        await self._replace(slot)
        if reply is None:
            raise RenderKilled("render-timeout", f"the render took longer than {self._timeout_s:g} s")
        raise RenderKilled("render-crashed", f"the render failed: {reply.text}")

    async def _ready(self, slot: Slot) -> ChildProcess:
        """Return the slot's child, a new one if it died while it had nothing to do."""
        if slot.child is not None and slot.child.alive():
            return slot.child
        try:
            return await self._in_thread(slot.ready)
        except SetupError as error:
            raise RenderKilled("render-crashed", f"no process to render in: {error.problems[0].what}") from error

    async def _replace(self, slot: Slot) -> int:
        """Kill a slot's child at once, put a new one in its place and return the old one's exit code."""
        slot.kill()
        with anyio.CancelScope(shield=True):
            code = await self._in_thread(slot.replace)
        return code  # noqa: RET504 -- for mypy any cancel scope may swallow what is inside

    async def _close(self) -> None:
        for slot in self._slots:
            slot.kill()
        with anyio.CancelScope(shield=True):
            for slot in self._slots:
                await self._in_thread(slot.close)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, limiter=self._threads)


async def _outcome(running: Future[T]) -> T:
    """Wait for an executor's future, but never cancel it: an executor that breaks trips over a cancelled one."""
    loop, done = asyncio.get_running_loop(), anyio.Event()
    running.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
    await done.wait()
    return running.result()


def _collect(done: child.Done, output: Spool) -> Rendered:
    """Put the bodies that a child wrote to ``output`` where they belong."""
    offsets = accumulate(done.sizes, initial=0)
    images = tuple(
        replace(image, body=output.read(offset, size))
        for image, offset, size in zip(done.rendered.images, offsets, done.sizes, strict=False)
    )
    return replace(done.rendered, images=images)


def _crashed(exit_code: int) -> RenderKilled:
    if exit_code >= 0:
        return RenderKilled("render-crashed", f"the render's process ended with exit code {exit_code}")
    if -exit_code == signal.SIGXCPU:
        return RenderKilled("render-timeout", "the render took more CPU time than it may have")
    name = signal.Signals(-exit_code).name
    return RenderKilled("render-crashed", f"the render's process was killed by {name}")

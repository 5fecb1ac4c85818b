"""One render in a process that a job holds: its result, or the blame for its failure, and the fate of the process."""

from __future__ import annotations

import signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.pool.original import Original
from thumbq.pool.replies import Done, Failed, decode

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.pool.channel import Answer
    from thumbq.pool.pooledprocess import PooledProcess
    from thumbq.pool.supervisor import Supervisor
    from thumbq.ports import Rendered, RenderSource

_OUT_OF_MEMORY: Final = "out-of-memory"
_LATE_S: Final = 1.0
"""A time-out that is noticed so much too late is not the image's fault: the whole host stood still."""


class AcquiredProcess:
    """A RenderProcess: the one that the pool has handed out, or the one that has taken its place."""

    def __init__(self, supervisor: Supervisor, process: PooledProcess, *, queue: str, timeout_s: float) -> None:
        self._supervisor = supervisor
        self._process = process
        self._queue = queue
        self._timeout_s = timeout_s

    def release(self) -> None:
        """Give the process back, if it is alive."""
        self._supervisor.release(self._process)

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        """Render what was written to ``source``; see ports.RenderProcess.

        A render that was killed raises at once; its process is replaced in the background. RenderUnavailable is no
        evidence against the image: it was not tried, or the host stood still.
        """
        if not isinstance(source, Original):
            raise TypeError("this source was not opened by this pool")
        return await self._finish(await self._submit(source, presets), presets)

    async def _submit(self, source: Original, presets: Sequence[Preset]) -> Future[Answer]:
        """Hand over the job. A process that dies before it has the job costs another wait."""
        while True:
            try:
                if not self._process.over.is_set():
                    process = self._process
                    give_back = process.gives_back()
                    return process.handle.submit(source, presets, self._timeout_s, give_back=give_back)
            except BrokenProcessPool:
                self._supervisor.discard(self._process, "died-idle")
            self._process = await self._supervisor.acquire(self._queue)

    async def _finish(self, running: Future[Answer], presets: Sequence[Preset]) -> Rendered:
        """Wait for the reply, and decide whether the process can go on."""
        discard, process = self._supervisor.discard, self._process
        answer = reply = None
        try:
            due_at = anyio.current_time() + self._timeout_s
            with anyio.move_on_after(self._timeout_s):
                answer = await running
            late_s = anyio.current_time() - due_at
            cpu_after_s = process.handle.cpu_s()
            process.handle.note_idle(cpu_after_s)
            used_s = _difference(process.handle.cpu_before_s, cpu_after_s)
            if answer is not None:
                reply = decode(answer.reply, presets, len(answer.bodies))
        except BrokenProcessPool:
            discard(process, "render-crashed")
            await process.gone.wait()
            raise _crashed(process.exit_code) from None
        except BaseException:
            discard(process, "cancelled")
            raise
        if answer is None or reply is None:
            discard(process, "decode-timeout")
            if late_s > _LATE_S:
                raise RenderUnavailable(f"the render was cut short: this host stood still for {late_s:.0f} s or more")
            text = f"the render took longer than {self._timeout_s:g} s{_cpu_text(used_s)}"
            raise RenderKilled("decode-timeout", text)
        if isinstance(reply, Failed):
            discard(process, "render-failed")
            raise RenderKilled("render-crashed", f"the render failed: {reply.text}")
        process.count_job()
        codes = {one.code for one in reply.rendered.not_made} if isinstance(reply, Done) else {reply.code}
        if _OUT_OF_MEMORY in codes:
            discard(process, _OUT_OF_MEMORY)  # its free memory is in pieces
        if isinstance(reply, Done):
            return replace(_with_bodies(reply, answer.bodies), cpu_s=used_s)
        raise RenderRefused(reply.code, reply.text)


def _with_bodies(done: Done, bodies: bytes) -> Rendered:
    """Return the renditions with their bodies, which lie one after the other in ``bodies``."""
    offsets = accumulate(done.sizes, initial=0)
    images = tuple(
        replace(image, body=bodies[offset : offset + size])
        for image, offset, size in zip(done.rendered.images, offsets, done.sizes, strict=False)
    )
    return replace(done.rendered, images=images)


def _difference(before_s: float | None, after_s: float | None) -> float | None:
    return None if before_s is None or after_s is None else after_s - before_s


def _cpu_text(used_s: float | None) -> str:
    """Return the CPU time of a render: it distinguishes a long computation from a wait on a busy or sleeping host."""
    return "" if used_s is None else f", of which {used_s:.1f} s on a CPU"


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

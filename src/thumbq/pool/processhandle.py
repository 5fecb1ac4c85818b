"""A render process as the parent sees it: one process in an executor of its own, which can be killed.

Where the system has no semaphores it is a process behind two pipes instead (see pipe.py).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem, SetupError
from thumbq.pool import cpulimit, entrypoint, helperoutput
from thumbq.pool.channel import Job, pickled
from thumbq.pool.executor import RecordingContext, clean_environment, disown
from thumbq.pool.parentend import ParentEnd
from thumbq.pool.pipe import PipeExecutor, semaphores_exist
from thumbq.pool.procfs import cpu_s, resident_bytes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from concurrent.futures import Future
    from multiprocessing.context import ForkServerProcess

    from thumbq.core.preset import Preset
    from thumbq.pool.channel import Answer
    from thumbq.pool.config import SandboxMode
    from thumbq.pool.entrypoint import RenderFunction
    from thumbq.pool.executor import ReplyQueue
    from thumbq.pool.original import Original

_START_TIMEOUT_S: Final = 30
_PRELOADED: Final = ["thumbq.pool.entrypoint", "thumbq.pool.preload"]


class ProcessHandle:
    """A render process. ``start`` and ``close`` block and run in threads, the other methods do not block."""

    def __init__(self, render: RenderFunction, *, memory_limit_bytes: int, sandbox: SandboxMode) -> None:
        self.pid = 0
        self.unconfined: Problem | None = None
        """Why it runs without a sandbox, if it does and should not."""
        self.cpu_before_s: float | None = None
        """The CPU time that it had used when its newest job came; None where that is not known."""
        self._render = render
        self._memory_limit_bytes = memory_limit_bytes
        self._sandbox = sandbox
        self._executor: ProcessPoolExecutor | PipeExecutor | None = None
        self._replies: ReplyQueue | None = None
        self._process: ForkServerProcess | None = None
        self._end = select.poll()
        self._channel: ParentEnd | None = None
        self._pidfd: int | None = None
        self._presets: tuple[tuple[Preset, ...], bytes] = ((), pickled(()))
        """Those of its newest job, which are nearly always those of its next, and as they are sent."""
        self._cpu_when_idle_s: float | None = None
        self._killed = False
        self._lock = threading.Lock()
        """Held for moments, so that nobody signals or polls a process that is being closed."""

    def start(self) -> None:
        """Start the process and check that it works. Raises SetupError when it does not, also when it is killed."""
        try:
            checked = self._spawn()
            self.unconfined = checked.result(_START_TIMEOUT_S)
            self._serve()
        except Exception as error:
            self.close()
            helperoutput.log_all()
            raise SetupError([_problem(error)]) from error
        if self.unconfined is not None and self._sandbox == "required":
            self.close()
            raise SetupError([self.unconfined])

    def submit(
        self, original: Original, presets: Sequence[Preset], cpu_s: float, *, give_back: bool = False
    ) -> asyncio.Future[Answer]:
        """Hand over a job; the future gives the answer. ``give_back`` is about its memory (see heap.py).

        The kernel ends the process when the job takes more than about ``cpu_s`` seconds of CPU time. Raises
        BrokenProcessPool when the process has ended, or has worked since ``note_idle``; the future raises it when the
        process ends.
        """
        if not self.alive() or self._channel is None:
            raise BrokenProcessPool("the process is gone")
        before_s = self.cpu_before_s = self.cpu_s()
        idle_s = self._cpu_when_idle_s
        if before_s is not None and idle_s is not None and before_s > idle_s + cpulimit.MARGIN_S:
            raise BrokenProcessPool("the process works without a job")
        limited = cpulimit.allow(self.pid, before_s, cpu_s)
        left_s = 0.0 if limited else cpu_s + cpulimit.MARGIN_S
        job = Job(self._pickled(tuple(presets)), bytes(original.small), cpu_s=left_s, give_back=give_back)
        try:
            if original.file is None:
                return self._channel.send(job)
            with original.file.read_only() as source:
                return self._channel.send(replace(job, source=source))
        except OSError as error:
            raise BrokenProcessPool(str(error)) from error

    def note_idle(self, cpu_s: float | None) -> None:
        """Note that its job has ended, and its CPU time then: until the next job it needs next to none."""
        self._cpu_when_idle_s = cpu_s
        cpulimit.allow(self.pid, cpu_s, 0)

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process ends; valid until ``close``."""
        assert self._process is not None
        return self._process.sentinel

    def alive(self) -> bool:
        """Whether the process runs."""
        with self._lock:
            return self._process is not None and not self._end.poll(0)

    def cpu_s(self) -> float | None:
        """Return the CPU time that the process has used since its start; None where that is not known."""
        return cpu_s(self.pid)

    def resident_bytes(self) -> int | None:
        """Return the resident memory of the process; None where that is not known."""
        return resident_bytes(self.pid)

    def kill(self) -> None:
        """Kill the process now, also one that is stopped, hangs in a decoder or has only begun to start."""
        with self._lock:
            self._killed = True
            if self._process is None:
                return
            # A pidfd cannot hit another process that got the same number.
            with suppress(ProcessLookupError):
                if self._pidfd is None:
                    os.kill(self.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def leave_loop(self) -> None:
        """Give up the job that it has, if it has one; to be called in the event loop before ``close``."""
        if self._channel is not None:
            self._channel.leave_loop()

    def close(self) -> int:
        """Kill the process, free everything that was held for it, and return its exit code (negative: a signal)."""
        self.kill()
        if self._replies is not None:
            self._replies.hang_up()
        if self._executor is not None:
            self._executor.shutdown()
        with self._lock:
            process, self._process = self._process, None
            # The executor's thread has joined the process: the code is read, and it is read only once.
            code = process.exitcode if process is not None else None
            if process is not None:
                process.close()
            if self._channel is not None:
                self._channel.close()
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
        return 1 if code is None else code

    def _serve(self) -> None:
        """Have the process take jobs. When the executor sees the end of that, so does who waits for a job's answer."""
        executor, channel = self._executor, self._channel
        assert executor is not None
        assert channel is not None
        executor.submit(entrypoint.serve, self._render).add_done_callback(lambda _: channel.hang_up())

    def _pickled(self, presets: tuple[Preset, ...]) -> bytes:
        if presets != self._presets[0]:
            self._presets = (presets, pickled(presets))
        return self._presets[1]

    def _spawn(self) -> Future[Problem | None]:
        context = RecordingContext()
        context.set_forkserver_preload(_PRELOADED)
        ours, theirs = socket.socketpair()
        self._channel = ParentEnd(ours, max_body_bytes=self._memory_limit_bytes)
        # Everything that may start the fork server or the resource tracker is inside.
        with theirs, clean_environment():
            initargs = (theirs, self._memory_limit_bytes)
            new = partial(ProcessPoolExecutor, 1) if semaphores_exist() else PipeExecutor
            try:
                self._executor = new(mp_context=context, initializer=entrypoint.prepare, initargs=initargs)
                checked = self._executor.submit(entrypoint.check, self._render, self._sandbox)
            finally:
                with self._lock:
                    self._adopt(context.started)
                    self._replies = context.replies
        if self._killed:
            self.kill()
        return checked

    def _adopt(self, process: ForkServerProcess | None) -> None:
        if process is not None and process.pid is not None:
            disown(process)
            self._process, self.pid = process, process.pid
            self._end.register(process.sentinel, select.POLLIN)
            self._pidfd = _open_pidfd(process.pid)


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or forbidden by a sandbox
        return None


def _problem(error: Exception) -> Problem:
    if isinstance(error, BrokenProcessPool):
        return Problem(
            "a render process ended as soon as it was started",
            "give it more memory (THUMBQ_RENDER_MEMORY_BYTES); its output is in the log: pool.helper_said",
        )
    what = f"a render process cannot be started: {type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return Problem(what, "let the process open more files: ulimit -n, LimitNOFILE= of systemd, ulimits of Docker")
    if isinstance(error, FileNotFoundError) and not _has_temporary_directory():
        return Problem(what, "name a directory that thumbq may write to in TMPDIR; some kilobytes are enough")
    return Problem(
        what,
        "check the limits on processes and memory of this user or container; if THUMBQ_SANDBOX=off helps, report it",
    )


def _has_temporary_directory() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False

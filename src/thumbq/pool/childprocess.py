"""A child as the parent sees it: one process in an executor of its own, which can be killed.

Where the system has no semaphores it is a process behind two pipes instead (pool/pipe.py).
"""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import socket
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import TYPE_CHECKING, Any, Final

from thumbq.errors import Problem, SetupError
from thumbq.pool import child, cpulimit
from thumbq.pool.cleanstart import clean_start
from thumbq.pool.pipe import PipeExecutor, semaphores_exist
from thumbq.pool.procfs import cpu_s, resident_bytes
from thumbq.pool.replies import ReplyQueue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from thumbq.core.preset import Preset
    from thumbq.pool.sandbox import Mode
    from thumbq.pool.spool import Spool

_START_TIMEOUT_S: Final = 30
_PRELOADED: Final = ["thumbq.pool.preload"]


class _Recorder(ForkServerContext):
    """Remembers the one process that the executor starts and its replies, which no public attribute gives."""

    started: ForkServerProcess | None = None
    replies: ReplyQueue | None = None

    def Process(self, *args: Any, **kwargs: Any) -> ForkServerProcess:  # type: ignore[override]  # noqa: N802 -- it stands in for the class that multiprocessing keeps under this name
        self.started = ForkServerProcess(*args, **kwargs)
        return self.started

    def SimpleQueue(self) -> ReplyQueue:  # noqa: N802 -- the same
        self.replies = ReplyQueue(ctx=self)
        return self.replies


class ChildProcess:
    """A child. ``start`` and ``retire`` block and run in threads, the other methods do not block."""

    def __init__(self, render: child.Render, *, memory_limit_bytes: int, sandbox: Mode) -> None:
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
        self._channel: socket.socket | None = None
        self._pidfd: int | None = None
        self._job: Future[bytes] | None = None
        self._cpu_at_rest_s: float | None = None
        self._doomed = False
        self._lock = threading.Lock()
        """Held for moments, so that nobody signals or asks for a process that is being put away."""

    def start(self) -> None:
        """Start the child and see that it works. Raises SetupError when it does not, also when it is killed."""
        try:
            checked = self._spawn()
            self.unconfined = checked.result(_START_TIMEOUT_S)
        except Exception as error:
            self.retire()
            raise SetupError([_problem(error)]) from error
        if self.unconfined is not None and self._sandbox == "required":
            self.retire()
            raise SetupError([self.unconfined])

    def submit(self, source: Spool, output: Spool, presets: Sequence[Preset], cpu_s: float) -> Future[bytes]:
        """Hand over a job; the future gives the encoded reply.

        The kernel ends the child when the job takes more than about ``cpu_s`` seconds of CPU time. Raises
        BrokenProcessPool when the child is gone, or has worked since it was ``rested``, and so does the future when it
        dies.
        """
        if not self.alive() or self._channel is None or self._executor is None:
            raise BrokenProcessPool("the process is gone")
        before_s = self.cpu_before_s = self.cpu_s()
        rested_s = self._cpu_at_rest_s
        if before_s is not None and rested_s is not None and before_s > rested_s + cpulimit.MARGIN_S:
            raise BrokenProcessPool("the process works without a job")
        limited = cpulimit.allow(self.pid, before_s, cpu_s)
        try:
            with source.read_only() as original:
                socket.send_fds(self._channel, [b"j"], [original, output.fd])
            left_s = None if limited else cpu_s + cpulimit.MARGIN_S
            self._job = self._executor.submit(child.run, self._render, tuple(presets), left_s)
        except (OSError, RuntimeError) as error:  # an executor that is just breaking may also say that it is shut down
            raise BrokenProcessPool(str(error)) from error
        return self._job

    def rested(self, cpu_s: float | None) -> None:
        """Take note that its job has ended, when it had used so much CPU time: now it has next to no need of more."""
        self._cpu_at_rest_s = cpu_s
        cpulimit.allow(self.pid, cpu_s, 0)

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the child is gone; valid until it is retired."""
        assert self._process is not None
        return self._process.sentinel

    def alive(self) -> bool:
        """Whether the child is there."""
        with self._lock:
            return self._process is not None and not wait([self._process.sentinel], 0)

    def cpu_s(self) -> float | None:
        """Return the CPU time that the child has used since its start; None where that is not known."""
        return cpu_s(self.pid)

    def resident_bytes(self) -> int | None:
        """Return how much memory the child has resident; None where that is not known."""
        return resident_bytes(self.pid)

    def kill(self) -> None:
        """Kill the child now. One that is stopped, hangs in a decoder or has only begun to start dies as well."""
        with self._lock:
            self._doomed = True
            if self._process is None:
                return
            # A pidfd cannot hit another process that got the same number.
            with suppress(ProcessLookupError):
                if self._pidfd is None:
                    os.kill(self.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def retire(self) -> int:
        """Kill the child, free everything that was held for it, and return its exit code (negative: a signal)."""
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
        if self._job is not None and not self._job.done():
            # It was submitted in the very moment in which the executor broke, and was forgotten.
            self._job.set_exception(BrokenProcessPool("the process is gone"))
        return 1 if code is None else code

    def _spawn(self) -> Future[Problem | None]:
        context = _Recorder()
        context.set_forkserver_preload(_PRELOADED)
        self._channel, theirs = socket.socketpair()
        # Everything that may start the fork server or the resource tracker is inside.
        with theirs, clean_start():
            initargs = (theirs, self._memory_limit_bytes)
            new = partial(ProcessPoolExecutor, 1) if semaphores_exist() else PipeExecutor
            try:
                self._executor = new(mp_context=context, initializer=child.prepare, initargs=initargs)
                checked = self._executor.submit(child.check, self._render, self._sandbox)
            finally:
                with self._lock:
                    self._adopt(context.started)
                    self._replies = context.replies
        if self._doomed:
            self.kill()
        return checked

    def _adopt(self, process: ForkServerProcess | None) -> None:
        if process is not None and process.pid is not None:
            # An exit code can be read once. multiprocessing would read those of all that it knows with each new start,
            # perhaps while another thread does, and one of the two would get 255.
            multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public does that
            self._process, self.pid = process, process.pid
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
            "give it more memory (THUMBQ_RENDER_MEMORY_BYTES); what it said is on standard error",
        )
    return Problem(
        f"a render process cannot be started: {type(error).__name__}: {error}",
        "check the limits on processes and memory of this user or container; if THUMBQ_SANDBOX=off helps, report it",
    )

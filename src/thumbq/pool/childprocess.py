"""A child as the parent sees it: one process in an executor of its own, which can be killed."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import TYPE_CHECKING, Any, Final, Self

from thumbq.errors import Problem, SetupError
from thumbq.pool import child
from thumbq.pool.cleanstart import clean_start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from thumbq.core.preset import Preset
    from thumbq.imaging import Refusal
    from thumbq.pool.spool import Spool

_START_TIMEOUT_S: Final = 30
_PRELOADED: Final = ["thumbq.pool.preload"]


class _Recorder(ForkServerContext):
    """Remembers the one process that the executor starts, which no public attribute of the executor gives."""

    started: ForkServerProcess | None = None

    def Process(self, *args: Any, **kwargs: Any) -> ForkServerProcess:  # type: ignore[override]  # noqa: N802 -- it stands in for the class that multiprocessing keeps under this name
        self.started = ForkServerProcess(*args, **kwargs)
        return self.started


class ChildProcess:
    """A running child. Its methods block (``retire`` for milliseconds, ``start`` longer) except where they say so."""

    def __init__(self, executor: ProcessPoolExecutor, process: ForkServerProcess, channel: socket.socket) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._executor = executor
        self._process = process
        self._channel = channel
        self._pidfd = _open_pidfd(self.pid)

    @classmethod
    def start(cls, memory_limit_bytes: int) -> Self:
        """Start a child and see that it works. Raises SetupError when it cannot."""
        context = _Recorder()
        context.set_forkserver_preload(_PRELOADED)
        ours, theirs = socket.socketpair()
        executor = None
        try:
            # Everything that may start the fork server or the resource tracker is inside.
            with theirs, clean_start():
                executor = ProcessPoolExecutor(
                    1, mp_context=context, initializer=child.prepare, initargs=(theirs, memory_limit_bytes)
                )
                checked = executor.submit(child.check)
            checked.result(_START_TIMEOUT_S)
            assert context.started is not None
            return cls(executor, context.started, ours)
        except BaseException as error:
            ours.close()
            if context.started is not None and context.started.pid is not None:
                context.started.kill()
            if executor is not None:
                executor.shutdown()
            if isinstance(error, Exception):
                raise SetupError([_problem(error)]) from error
            raise

    def submit(
        self, render: child.Render, source: Spool, output: Spool, presets: Sequence[Preset], cpu_s: float
    ) -> Future[child.Done | Refusal | child.Failed]:
        """Hand over a job, without blocking. Raises BrokenProcessPool when the child is gone."""
        try:
            socket.send_fds(self._channel, [b"j"], [source.fd, output.fd])
        except OSError as error:
            raise BrokenProcessPool(str(error)) from error
        return self._executor.submit(child.run, render, tuple(presets), cpu_s)

    def alive(self) -> bool:
        """Whether the child is there, without blocking."""
        return not wait([self._process.sentinel], 0)

    def kill(self) -> None:
        """Kill the child now, without blocking. One that is stopped or hangs in a decoder dies as well."""
        # A pidfd cannot hit another process that got the same number.
        with suppress(ProcessLookupError):
            if self._pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def retire(self) -> int:
        """Kill the child, free everything that was held for it, and return its exit code (negative: a signal)."""
        self.kill()
        self._executor.shutdown(cancel_futures=True)
        # The executor's thread has joined the process: the code is read, and it is read only once.
        code = self._process.exitcode
        self._process.close()
        self._channel.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        return 1 if code is None else code


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
    if isinstance(error, (OSError, NotImplementedError)) and not os.path.isdir("/dev/shm"):  # noqa: S108, PTH112 -- the mount itself is meant
        return Problem("render processes need /dev/shm, which does not exist here", "mount a tmpfs on /dev/shm")
    return Problem(
        f"a render process cannot be started: {type(error).__name__}: {error}",
        "check the limits on processes and memory of this user or container",
    )

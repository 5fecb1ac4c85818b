"""A place in the pool, with one child at a time."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

from thumbq.errors import SetupError
from thumbq.pool.childprocess import ChildProcess


class Slot:
    """A place for one child. ``child`` is None while it is replaced, and when no new one could be started.

    The methods block, ``kill`` excepted, and run in threads. A thread goes on when the task that waits for it is
    cancelled: the lock keeps the next one from starting a second child here.
    """

    def __init__(self, memory_limit_bytes: int) -> None:
        self.child: ChildProcess | None = None
        self._memory_limit_bytes = memory_limit_bytes
        self._lock = threading.Lock()
        self._closed = False

    def ready(self) -> ChildProcess:
        """Return the child, or a new one if there is none that lives. Raises SetupError."""
        with self._lock:
            if self.child is not None and self.child.alive():
                return self.child
            self._retire()
            return self._start()

    def replace(self) -> int:
        """Retire the child and start a new one if that is possible. Return the exit code of the old one."""
        with self._lock:
            code = self._retire()
            with suppress(SetupError):  # the next job in this slot tries again, and says so
                self._start()
            return code

    def close(self) -> None:
        """Retire the child; there will be no other."""
        with self._lock:
            self._closed = True
            self._retire()

    def kill(self) -> None:
        """Kill the child, without blocking; it still has to be retired."""
        if self.child is not None:
            self.child.kill()

    def _start(self) -> ChildProcess:
        if self._closed:
            raise SetupError([])
        self.child = ChildProcess.start(self._memory_limit_bytes)
        return self.child

    def _retire(self) -> int:
        child, self.child = self.child, None
        return -signal.SIGKILL if child is None else child.retire()

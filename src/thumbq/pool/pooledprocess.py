"""A render process and its state in the pool: whether it is in service, due for recycling, or has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from thumbq.pool.config import Recycling
    from thumbq.pool.processhandle import ProcessHandle


class PooledProcess:
    """One render process of the pool. Its task in the supervisor starts it, and cleans up when it is ``over``."""

    def __init__(self, handle: ProcessHandle) -> None:
        self.handle = handle
        self.ready = False
        """Whether it has started."""
        self.leaving = False
        """Whether its successor is ready and only waits for the end of its job."""
        self.over = anyio.Event()
        """Set when it gets no more jobs: it died, was killed, or was recycled."""
        self.gone = anyio.Event()
        """Set when the process has ended, and ``exit_code`` is known (negative: a signal)."""
        self.exit_code = 0
        self._jobs = 0
        self._first_bytes: int | None = None

    def in_service(self) -> bool:
        """Whether it takes jobs."""
        return self.ready and not self.over.is_set()

    def count_job(self) -> None:
        """Count a job that it has survived."""
        self._jobs += 1
        if self._jobs == 1:
            self._first_bytes = self.handle.resident_bytes()

    def is_due(self, recycling: Recycling) -> bool:
        """Whether it should be replaced."""
        if self._jobs >= recycling.jobs:
            return True
        if self._first_bytes is None:
            return False
        now = self.handle.resident_bytes()
        return now is not None and now - self._first_bytes > recycling.growth_bytes

    def clean_up(self) -> None:
        """Kill the process and free what was held for it; blocks until it has ended."""
        self.exit_code = self.handle.close()

"""A render process and its state in the pool: whether it is in service, due for recycling, or has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from thumbq.pool.config import Recycling
    from thumbq.pool.processhandle import ProcessHandle


_LOOK_AGAIN_JOBS: Final = 20
"""A look at a process's growth costs its heap. Between two, usual large images leave as much free memory as before."""


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
        self._suspected_bytes: int | None = None
        """The memory that it had when it was last taken for grown, which free memory may have been, too."""
        self._suspected_at = 0
        self._is_examined = False

    def in_service(self) -> bool:
        """Whether it takes jobs."""
        return self.ready and not self.over.is_set()

    def gives_back(self) -> bool:
        """Whether its next job is to end with all free memory given back: what it has then is its growth."""
        return self._jobs == 0 or self._is_examined

    def count_job(self) -> None:
        """Count a job that it has survived."""
        self._jobs += 1
        if self._jobs == 1:
            self._first_bytes = self.handle.resident_bytes()

    def is_due(self, recycling: Recycling) -> bool:
        """Whether it should be replaced. One that seems to have grown is looked at again after its next job."""
        if self._jobs >= recycling.jobs:
            return True
        now = self.handle.resident_bytes()
        was_examined, self._is_examined = self._is_examined, False
        if self._first_bytes is None or now is None or now - self._first_bytes <= recycling.growth_bytes:
            return False
        if was_examined:
            return True
        known = self._suspected_bytes
        is_new = known is None or now - known > recycling.growth_bytes
        if is_new or self._jobs - self._suspected_at >= _LOOK_AGAIN_JOBS:
            self._suspected_bytes, self._suspected_at, self._is_examined = now, self._jobs, True
        return False

    def clean_up(self) -> None:
        """Kill the process and free what was held for it; blocks until it has ended."""
        self.exit_code = self.handle.close()

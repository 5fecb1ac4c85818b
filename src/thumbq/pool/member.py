"""A child with what the pool knows of it: whether it serves, how worn it is, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from thumbq.pool.childprocess import ChildProcess


@dataclass(frozen=True, slots=True)
class Wear:
    """How much a child may do before it is replaced: jobs, and bytes that its memory grows by after the first."""

    jobs: int
    growth_bytes: int


class Member:
    """One child of the pool. Its task in the pool starts it, and clears it away when it is ``over``."""

    def __init__(self, process: ChildProcess) -> None:
        self.process = process
        self.serving = False
        self.leaving = False
        """Whether its successor is ready and only waits for the end of its job."""
        self.over = anyio.Event()
        """Set when it gets no more jobs: it died, was killed, or has left."""
        self.cleared = anyio.Event()
        """Set when its process is gone, and ``exit_code`` is known (negative: a signal)."""
        self.exit_code = 0
        self._jobs = 0
        self._first_bytes: int | None = None

    def serves(self) -> bool:
        """Whether it takes jobs."""
        return self.serving and not self.over.is_set()

    def note_job(self) -> None:
        """Count a job that has ended well."""
        self._jobs += 1
        if self._jobs == 1:
            self._first_bytes = self.process.resident_bytes()

    def is_worn(self, wear: Wear) -> bool:
        """Whether it should be replaced."""
        if self._jobs >= wear.jobs:
            return True
        if self._first_bytes is None:
            return False
        now = self.process.resident_bytes()
        return now is not None and now - self._first_bytes > wear.growth_bytes

    def clear(self) -> None:
        """Kill the process and free what was held for it; blocks until it is gone."""
        self.exit_code = self.process.retire()

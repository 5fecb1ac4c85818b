"""Admission of uploads: how many run at once, how long one may wait for bytes, and none when the service stops."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.web.problems import ProblemRaised, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_RETRY_AFTER_S: Final = 1
_BUSY: Final = problem_of(
    "busy", "Too many uploads are running at once. Try again in a moment.", retry_after_s=_RETRY_AFTER_S
)
_STOPPING: Final = problem_of(
    "stopping", "The service is stopping. Send the upload again in a moment.", retry_after_s=_RETRY_AFTER_S
)


class RunningUploads:
    """The uploads that run in one process."""

    def __init__(self, *, max_concurrent: int) -> None:
        self._slots = anyio.Semaphore(max_concurrent)
        self._waiting: set[anyio.CancelScope] = set()
        self._stopping = False
        self._open = 0
        self._closed_one = anyio.Event()

    @property
    def stopping(self) -> bool:
        """Whether uploads have been cut off."""
        return self._stopping

    async def idle(self) -> None:
        """Wait until no upload is open."""
        while self._open:
            self._closed_one = anyio.Event()
            await self._closed_one.wait()

    def cut_off(self) -> None:
        """End every upload that waits for bytes of its client, and refuse those that come later.

        A file that is complete is still stored and queued.
        """
        self._stopping = True
        for scope in self._waiting:
            scope.cancel()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold the place of one running upload. Raises ProblemRaised when all are taken, or the service stops."""
        if self._stopping:
            raise ProblemRaised(_STOPPING)
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            raise ProblemRaised(_BUSY) from None
        self._open += 1
        try:
            yield
        finally:
            self._slots.release()
            self._open -= 1
            self._closed_one.set()

    @contextmanager
    def waiting(self, *, at_most_s: float) -> Iterator[None]:
        """Wait for the client's bytes. Raises TimeoutError after ``at_most_s``, ProblemRaised when it is cut off."""
        with anyio.CancelScope(deadline=anyio.current_time() + at_most_s) as scope:
            if self._stopping:
                scope.cancel()
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            raise ProblemRaised(_STOPPING) if self._stopping else TimeoutError

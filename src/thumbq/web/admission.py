"""Admission of uploads: what each may hold in memory, how long it waits for bytes, and that none runs after the stop.

The place of an upload is the bytes that it holds. Bodies of up to ALLOWANCE_BYTES need none: a connection's buffers are
larger. A larger one reserves what it may come to hold, and waits its turn when there is no room. While one waits, the
upload that sends the slowest is ended if it sends less than the least rate: a client that trickles keeps nobody out.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.web.problems import HttpProblem, ProblemRaised, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import StreamReader

    from thumbq.web.uploadlimits import UploadLimits

ALLOWANCE_BYTES: Final = 32 << 10

_JUDGED_AFTER_S: Final = 1.0  # of waiting for the client
_JUDGED_OVER_S: Final = 5.0
_LOOK_S: Final = 0.25
_RETRY_AFTER_S: Final = 1


_BUSY: Final = problem_of(
    "busy", "Uploads hold all the memory that they may. Try again in a moment.", retry_after_s=_RETRY_AFTER_S
)
_STOPPING: Final = problem_of(
    "stopping", "The service is stopping. Send the upload again in a moment.", retry_after_s=_RETRY_AFTER_S
)


class RunningUploads:
    """The uploads that run in one process."""

    def __init__(self, limits: UploadLimits) -> None:
        self.limits = limits
        self._free = limits.memory_bytes
        self._waiting: deque[_Waiter] = deque()
        self._open: set[RunningUpload] = set()
        self._stopping = False
        self._closed_one = anyio.Event()

    @property
    def stopping(self) -> bool:
        """Whether uploads have been cut off."""
        return self._stopping

    @property
    def held(self) -> int:
        """How many bytes are reserved."""
        return self.limits.memory_bytes - self._free

    @property
    def waiting(self) -> int:
        """How many uploads wait for room."""
        return len(self._waiting)

    async def idle(self) -> None:
        """Wait until no upload is open."""
        while self._open:
            self._closed_one = anyio.Event()
            await self._closed_one.wait()

    def cut_off(self) -> None:
        """End every upload that waits for bytes of its client or for room, and refuse those that come later.

        A file that is complete is still stored and queued.
        """
        self._stopping = True
        for upload in self._open:
            upload.end(_STOPPING)

    def end_slowest(self, number: int) -> int:
        """Have up to so many uploads end that send less than the least rate, the slowest first.

        Returns how many are ending, those included that were before.
        """
        ending = sum(upload.ended for upload in self._open)
        slow = heapq.nsmallest(number - ending, self._slow(), key=RunningUpload.rate)
        for upload in slow:
            self._end(upload)
        return ending + len(slow)

    @contextmanager
    def upload(self, body: StreamReader, length: int | None) -> Iterator[RunningUpload]:
        """Run an upload whose request has a body of this length (None: unknown). Raises ProblemRaised at a stop."""
        if self._stopping:
            raise ProblemRaised(_STOPPING)
        upload = RunningUpload(self, body, length)
        self._open.add(upload)
        try:
            yield upload
        finally:
            self._open.discard(upload)
            self.give_back(upload.reserved)
            self._closed_one.set()

    async def take(self, size: int, upload: RunningUpload) -> None:
        """Take room, after all that have asked before. Raises ProblemRaised when there is none for too long."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        if len(self._waiting) >= self.limits.max_waiting:
            raise ProblemRaised(_BUSY)
        waiter = _Waiter(size, anyio.Event())
        self._waiting.append(waiter)
        try:
            with upload.interruptible(at_most_s=self.limits.queue_s, too_late=_BUSY):
                await self._until_served(waiter)
        except BaseException:
            if waiter.served.is_set():
                self._free += size
            else:
                self._waiting.remove(waiter)
            self._serve()
            raise

    def give_back(self, size: int) -> None:
        """Give room back."""
        self._free += size
        self._serve()

    async def _until_served(self, waiter: _Waiter) -> None:
        while not waiter.served.is_set():
            if waiter is self._waiting[0]:
                self._make_room(waiter.size)
            with anyio.move_on_after(_LOOK_S):
                await waiter.served.wait()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0].size <= self._free:
            waiter = self._waiting.popleft()
            self._free -= waiter.size
            waiter.served.set()

    def _make_room(self, size: int) -> None:
        """End the slowest uploads, if all that are too slow hold enough together."""
        slow = sorted((upload for upload in self._slow() if upload.reserved), key=RunningUpload.rate)
        coming = self._free + sum(upload.reserved for upload in self._open if upload.ended)
        if coming + sum(upload.reserved for upload in slow) < size:
            return
        for upload in slow:
            if coming >= size:
                return
            coming += upload.reserved
            self._end(upload)

    def _slow(self) -> list[RunningUpload]:
        return [upload for upload in self._open if upload.rate() < self.limits.min_bytes_per_s]

    def _end(self, upload: RunningUpload) -> None:
        rate = f"{self.limits.min_bytes_per_s:,} bytes a second"
        text = f"The upload came slower than {rate} while others waited for its place."
        upload.end(problem_of("upload-too-slow", text, retry_after_s=_RETRY_AFTER_S))


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    size: int
    served: anyio.Event


class RunningUpload:
    """One upload, from the head of its request to its answer. One task uses it."""

    def __init__(self, uploads: RunningUploads, body: StreamReader, length: int | None) -> None:
        self.reserved = 0
        self._uploads = uploads
        self._body = body
        self._length = length
        self._scope: anyio.CancelScope | None = None  # of what may be cut off
        self._problem: HttpProblem | None = None  # why it was ended
        self._waited_s = 0.0  # for the client
        self._marks = ((0.0, 0), (0.0, 0))  # the waits and bytes up to two moments, some seconds of waiting apart
        self._since: float | None = None  # when the wait began that goes on

    @property
    def ended(self) -> bool:
        """Whether it is about to leave."""
        return self._problem is not None

    async def hold(self, size: int, *, at_most: int) -> None:
        """Make sure of room for ``size`` bytes of a part that may have ``at_most``. Raises as RunningUploads.take."""
        if size <= max(self.reserved, ALLOWANCE_BYTES):
            return
        limits = self._uploads.limits
        wanted = min(at_most if self._length is None else min(self._length, at_most), limits.memory_bytes)
        if wanted > self.reserved:
            await self._uploads.take(wanted - self.reserved, self)
            self.reserved = wanted

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the client's bytes. Raises TimeoutError when none comes, ProblemRaised when the upload is ended."""
        now = anyio.current_time()
        if self._waited_s - self._marks[1][0] >= _JUDGED_OVER_S:
            self._marks = (self._marks[1], (self._waited_s, self._body.total_bytes))
        self._since = now
        try:
            with self.interruptible(at_most_s=self._uploads.limits.stall_timeout_s, too_late=None):
                yield
        finally:
            self._waited_s += anyio.current_time() - now
            self._since = None

    @contextmanager
    def interruptible(self, *, at_most_s: float, too_late: HttpProblem | None) -> Iterator[None]:
        """Do what ``end`` may cut off. Raises ProblemRaised when it does; past the time too, or TimeoutError."""
        with anyio.CancelScope(deadline=anyio.current_time() + at_most_s) as scope:
            if self._problem is not None:
                scope.cancel()
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None
        if scope.cancelled_caught:
            if problem := self._problem or too_late:
                raise ProblemRaised(problem)
            raise TimeoutError(f"{at_most_s:g} seconds")

    def end(self, problem: HttpProblem) -> None:
        """End the upload with a problem, as soon as it waits for its client or for room."""
        self._problem = problem
        if self._scope is not None:
            self._scope.cancel()

    def rate(self) -> float:
        """Return how many bytes a second the client sends of late; infinity while it is not waited for."""
        if self._since is None or self.ended:
            return math.inf
        then_s, then_bytes = self._marks[0]
        waited_s = self._waited_s + anyio.current_time() - self._since - then_s
        return (self._body.total_bytes - then_bytes) / waited_s if waited_s >= _JUDGED_AFTER_S else math.inf

"""Requests that wait for news of jobs.

A job that ends on this replica is known at once, one on another when the store is asked: once a second for all who
wait for it here, with jitter. Waiting takes no place and no memory of uploads.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from random import Random

    from thumbq.core.manifest import Manifest
    from thumbq.jobdocuments import JobState

    Look = Callable[[JobState], Awaitable[JobState]]

POLL_S: Final = 1.0
"""How often the store is asked for a job at the least; at the most a quarter oftener."""

_JITTER: Final = 0.25
_CLIENT_CHECK_S: Final = 0.5
_ENDED_KEPT: Final = 1_000
"""Jobs that ended here, for who is about to wait for them: an upload's may end before its last byte is there."""


class _Watch:
    """One job that somebody waits for: its state is asked for again and again, and who waits is woken when it differs.

    One of those who wait asks for all of them, in a task of its own request. When that one leaves, the next one does.
    """

    def __init__(self, state: JobState, look: Look, random: Random) -> None:
        self.state = state
        self.waiting: set[_Waiter] = set()
        self._look = look
        self._random = random
        self._asking = anyio.Lock()
        self._due = 0.0  # on the event loop's clock
        self._at_once = anyio.Event()
        self._doubted = False
        self._look_later()

    def has_ended(self) -> None:
        """Ask now: the job has ended on this replica."""
        self._at_once.set()

    def doubt(self) -> None:
        """Ask now, and wake all who wait: one of them has read another state, and who is right is not known."""
        self._doubted = True
        self._at_once.set()

    async def ask(self) -> None:
        """Ask until cancelled, as soon as nobody else does. What goes wrong is raised, and then another one asks."""
        async with self._asking:
            while True:
                with anyio.move_on_at(self._due):
                    await self._at_once.wait()
                self._at_once = anyio.Event()
                await self._look_now()

    async def _look_now(self) -> None:
        # Until it is answered a look stays due: whoever goes on from here begins with it.
        self._due = anyio.current_time()
        doubted, self._doubted = self._doubted, False
        try:
            state = await self._look(self.state)
        except BaseException as error:
            self._doubted |= doubted
            if not isinstance(error, BackendError):
                raise
            self._look_later()  # it may have an answer then
            return
        self._look_later()
        if doubted or state != self.state:
            self.state = state
            for waiter in self.waiting:
                waiter.wake()

    def _look_later(self) -> None:
        self._due = anyio.current_time() + POLL_S * (1 - _JITTER * self._random.random())


class _Waiter:
    """One request that waits."""

    def __init__(self) -> None:
        self._news = anyio.Event()

    def wake(self) -> None:
        self._news.set()

    async def news(self) -> bool:
        """Wait for something to look at; return whether there is."""
        with anyio.move_on_after(_CLIENT_CHECK_S):
            await self._news.wait()
        if not self._news.is_set():
            return False
        self._news = anyio.Event()
        return True


class Waiters:
    """All requests that wait on this replica, ``at_most`` so many; it is told of jobs that end here (Announcer).

    ``look`` returns the state of a job as it is now, given the one that is known.
    """

    def __init__(self, look: Look, *, at_most: int, random: Random) -> None:
        self._look = look
        self._at_most = at_most
        self._random = random
        self._watches: dict[str, _Watch] = {}
        self._just_ended: OrderedDict[str, None] = OrderedDict()
        self._waiters: set[_Waiter] = set()
        self._stopping = False

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        """Tell those who wait for this job."""
        del attempt
        job_id = keys.upload_id(manifest.source.key)
        if job_id is not None:
            self.has_ended(job_id)

    def has_ended(self, job_id: str) -> None:
        """Tell those who wait for this job, or are about to."""
        self._just_ended[job_id] = None
        if len(self._just_ended) > _ENDED_KEPT:
            self._just_ended.popitem(last=False)
        if (watch := self._watches.get(job_id)) is not None:
            watch.has_ended()

    def stop(self) -> None:
        """Answer all who wait, and let nobody wait any more."""
        self._stopping = True
        for waiter in self._waiters:
            waiter.wake()

    @property
    def number(self) -> int:
        """How many requests wait."""
        return len(self._waiters)

    @property
    def full(self) -> bool:
        """Whether one more is answered at once."""
        return self._stopping or len(self._waiters) >= self._at_most

    async def wait(
        self,
        states: Mapping[str, JobState],
        is_news: Callable[[Mapping[str, JobState]], bool],
        *,
        within_s: float,
        gone: Callable[[], bool],
    ) -> dict[str, JobState]:
        """Wait until the states of these jobs are news, the time is up or the client is ``gone``; return them.

        Raises what a look has raised, but no BackendError.
        """
        now = dict(states)
        if self.full:
            return now

        async def wait(waiter: _Waiter, watches: Mapping[str, _Watch]) -> None:
            nonlocal now
            with anyio.move_on_after(within_s):
                while not (is_news(now) or self._stopping or gone()):
                    if await waiter.news():
                        now = {job_id: watch.state for job_id, watch in watches.items()}

        with self._watching(now) as (waiter, watches):
            try:
                async with anyio.create_task_group() as tasks:
                    for watch in watches.values():
                        tasks.start_soon(watch.ask)
                    await wait(waiter, watches)
                    tasks.cancel_scope.cancel()
            except* Exception as errors:  # noqa: BLE001 - raised as it is
                raise errors.exceptions[0] from None
        return now

    @contextmanager
    def _watching(self, states: Mapping[str, JobState]) -> Iterator[tuple[_Waiter, dict[str, _Watch]]]:
        waiter = _Waiter()
        self._waiters.add(waiter)
        watches = {job_id: self._watch(job_id, state) for job_id, state in states.items()}
        try:
            for job_id, watch in watches.items():
                watch.waiting.add(waiter)
                known = states[job_id]
                if (watch.state.status, watch.state.deleted) != (known.status, known.deleted):
                    watch.doubt()
                elif watch.state != known:
                    waiter.wake()
            yield waiter, watches
        finally:
            self._waiters.discard(waiter)
            self._leave(waiter, watches.items())

    def _watch(self, job_id: str, state: JobState) -> _Watch:
        if (watch := self._watches.get(job_id)) is None:
            watch = self._watches[job_id] = _Watch(state, self._look, self._random)
            if job_id in self._just_ended and not state.has_ended:
                watch.has_ended()
        return watch

    def _leave(self, waiter: _Waiter, watches: Iterable[tuple[str, _Watch]]) -> None:
        for job_id, watch in watches:
            watch.waiting.discard(waiter)
            if not watch.waiting and self._watches.get(job_id) is watch:
                del self._watches[job_id]

"""The consumer: polls for what can start, runs each job under its lease, and stops in order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import Abandon, Disposition, Release, backoff_s
from thumbq.errors import BackendError
from thumbq.worker.acks import Acks
from thumbq.worker.disposition import Disposer
from thumbq.worker.lease import BATCH, Lease, LeaseKeeper, LeaseState

if TYPE_CHECKING:
    from random import Random

    from anyio.abc import TaskGroup

    from thumbq.ports import Clock, JobQueue, ReceivedMessage
    from thumbq.worker.job import JobRunner

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COALESCE_S: Final = 0.05
_TURN_S: Final = 5.0
_STALL_S: Final = 60.0
_MAX_PAUSE_S: Final = 5.0
_HICCUP_S: Final = 10.0
_EMPTY_TURN_S: Final = 1.0
"""The least time between two receives when the first one came back empty: short polling must not spin."""
_OUTAGE_AFTER: Final = 3


class Consumer:
    """Turns messages into jobs, at most ``concurrency`` at once, until it is stopped."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        jobs: JobRunner,
        clock: Clock,
        random: Random,
        concurrency: int,
        wait_time_s: int,
        visibility_timeout_s: int,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._clock = clock
        self._random = random
        self._wait_time_s = wait_time_s
        self._visibility_timeout_s = visibility_timeout_s
        self._concurrency = concurrency
        self._keeper = LeaseKeeper(queue=queue, clock=clock, visibility_timeout_s=visibility_timeout_s)
        self._acks = Acks(queue=queue, clock=clock, random=random)
        self._disposer = Disposer(queue=queue, keeper=self._keeper, acks=self._acks, random=random)
        self._free = concurrency
        self._freed = anyio.Event()
        self._stopping = anyio.Event()
        self._running: set[anyio.CancelScope] = set()
        self._polling = anyio.CancelScope()
        self._ending: set[anyio.CancelScope] = set()
        self._ends_at = math.inf
        self._last_turn = clock.monotonic()
        self._failing_since: float | None = None

    async def run(self) -> None:
        """Consume until ``stop`` was called and every job has ended with its disposition carried out."""
        async with anyio.create_task_group() as side:
            side.start_soon(self._keeper.run)
            side.start_soon(self._acks.run)
            async with anyio.create_task_group() as jobs:
                with self._polling:
                    await self._poll(jobs)
            side.cancel_scope.cancel()

    def stop(self) -> None:
        """Receive no more. What the open receive still brings is given back; running jobs go on to their end."""
        self._stopping.set()
        self._freed.set()
        self._queue.wind_up()

    def abort(self, *, within_s: float) -> None:
        """Cut running jobs off: their renders are killed and their messages given back, all ``within_s`` seconds."""
        self._ends_at = anyio.current_time() + within_s
        self._polling.cancel()
        for scope in self._running:
            scope.cancel()
        for scope in self._ending:
            scope.deadline = self._ends_at

    def not_alive(self) -> str | None:
        """Say which loop has stopped going round, if one has."""
        now = self._clock.monotonic()
        if not self._stopping.is_set() and now - self._last_turn > self._wait_time_s + _STALL_S:
            return "the receive loop has stopped"
        if now - self._keeper.last_turn > _STALL_S:
            return "the heartbeat loop has stopped"
        return None

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        if self._failing_since is None:
            return None
        failing_s = self._clock.monotonic() - self._failing_since
        return f"the queue has not answered for {failing_s:.0f} s" if failing_s > _HICCUP_S else None

    async def _poll(self, jobs: TaskGroup) -> None:
        failures = 0
        while not self._stopping.is_set():
            free = 1 if await self._sat_out_outage() else await self._free_slots()
            if self._stopping.is_set():
                break
            asked_at = self._clock.monotonic()
            try:
                messages = await self._queue.receive(
                    max_messages=free,
                    wait_s=self._wait_time_s,
                    visibility_timeout_s=self._visibility_timeout_s,
                )
            except BackendError as error:
                failures += 1
                self._last_turn = self._clock.monotonic()
                self._failing_since = self._failing_since or asked_at
                log.warning("receive.failed", error=str(error), failures=failures)
                await self._pause(failures)
                continue
            failures, self._failing_since = 0, None
            arrived_at = self._last_turn = self._clock.monotonic()
            for message in messages:
                self._free -= 1
                jobs.start_soon(self._handle, message, arrived_at)
            if not messages:
                await self._rest(asked_at + _EMPTY_TURN_S - arrived_at)

    async def _sat_out_outage(self) -> bool:
        """While the store fails for everybody, wait until it answers; True when one message is to try it first.

        So an outage does not burn attempts, also one that shows in writing only.
        """
        while self._jobs.store_failures >= _OUTAGE_AFTER and self._free < self._concurrency:
            if self._stopping.is_set():
                return False
            await self._until_freed(_TURN_S)
        if self._jobs.store_failures < _OUTAGE_AFTER:
            return False
        log.warning("receive.paused", reason="the store does not answer", failures=self._jobs.store_failures)
        while not self._stopping.is_set():
            await self._pause(self._jobs.store_failures)
            self._last_turn = self._clock.monotonic()
            if await self._jobs.store_answers():
                break
        return True

    async def _pause(self, failures: int) -> None:
        await self._rest(min(backoff_s(failures + 1, self._random.random()), _MAX_PAUSE_S))

    async def _rest(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._stopping.wait()

    async def _free_slots(self) -> int:
        """Wait for a free slot, then a bounded moment for more, so that one request can bring several messages."""
        while not self._free and not self._stopping.is_set():
            await self._until_freed(_TURN_S)
        if self._free < min(BATCH, self._concurrency):
            with anyio.move_on_after(COALESCE_S):
                while self._free < min(BATCH, self._concurrency) and not self._stopping.is_set():
                    await self._until_freed(COALESCE_S)
        return min(self._free, BATCH)

    async def _until_freed(self, at_most_s: float) -> None:
        self._last_turn = self._clock.monotonic()
        self._freed = anyio.Event()
        with anyio.move_on_after(at_most_s):
            await self._freed.wait()

    async def _handle(self, message: ReceivedMessage, arrived_at: float) -> None:
        structlog.contextvars.bind_contextvars(message_id=message.id, receive_count=message.receive_count)
        disposition: Disposition = Release()
        with anyio.CancelScope() as scope:
            lease = self._keeper.hold(message, arrived_at=arrived_at, on_lost=scope.cancel)
            self._running.add(scope)
            try:
                # A last receive is used even then: given back, the message would be a dead letter without a word.
                if not self._stopping.is_set() or self._jobs.is_last_receive(message):
                    disposition = await self._jobs.attempt(message)
            finally:
                self._running.discard(scope)
                self._free += 1
                self._freed.set()
        await self._end(lease, disposition)

    async def _end(self, lease: Lease, disposition: Disposition) -> None:
        if lease.state is LeaseState.LOST:
            disposition = Abandon()
            log.warning("lease.lost", reason=lease.lost_because)
        log.debug("message.disposition", disposition=type(disposition).__name__.lower())
        with anyio.CancelScope(shield=True, deadline=self._ends_at) as scope:
            self._ending.add(scope)
            try:
                await self._disposer.dispose(lease, disposition)
            finally:
                self._ending.discard(scope)

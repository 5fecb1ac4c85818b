"""Receiving: asks the queue for what can start, and for nothing while asking would only cost attempts."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import backoff_s
from thumbq.errors import BackendError
from thumbq.ports import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random

    from thumbq.jobs.storehealth import StoreHealth
    from thumbq.ports import Clock, JobQueue, ReceivedMessage
    from thumbq.settings import Settings
    from thumbq.worker.backlogs import Backlogs
    from thumbq.worker.places import Places
    from thumbq.worker.queuehealth import QueueHealth

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COALESCE_S: Final = 0.25
"""How long to wait for more free places, so that one request brings several messages."""

_TURN_S: Final = 5.0
_MAX_PAUSE_S: Final = 5.0
_BACKLOG_S: Final = 1.0
"""How long a message has waited, at the least, that shows a backlog; the clocks of SQS and of this host may differ."""

_EMPTY_TURN_S: Final = 1.0
"""The least time between two receives when the first one came back empty: short polling must not spin."""


class Receiver:
    """The one poller of a replica: a request for ten messages takes milliseconds, a render takes more than that."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        queue_name: str,
        slots: Places,
        backlogs: Backlogs,
        queue_health: QueueHealth,
        store_health: StoreHealth,
        settings: Settings,
        fifo: bool,
        clock: Clock,
        random: Random,
    ) -> None:
        self._queue = queue
        self._queue_name = queue_name
        self._slots = slots
        self._backlogs = backlogs
        self._queue_health = queue_health
        self._store_health = store_health
        self._wait_time_s = settings.wait_time_s
        self._visibility_timeout_s = settings.visibility_timeout_s
        # Places beyond the render processes are there to wait: with those busy, a moment's wait costs nothing.
        self._enough = min(MAX_BATCH, max(1, slots.total - settings.processes))
        # Ten messages of one group are one job at a time: they keep no other queue's from the processes.
        self._floods = not fifo
        self._clock = clock
        self._random = random
        self._failures = 0
        self.stopping = anyio.Event()
        self.last_turn = clock.monotonic()
        """When the loop went round last, for the health check."""
        self.last_message_at = -math.inf
        """When the last message came, in the event loop's time."""

    async def run(self, start: Callable[[Sequence[ReceivedMessage], float], object]) -> None:
        """Receive until stopped; ``start`` gets what came at once, and when. An open receive is let return."""
        while not self.stopping.is_set():
            free = await self._free_places()
            if await self._sat_out_outage():
                free = 1
            if self.stopping.is_set():
                break
            asked_at, asked_wall = self._clock.monotonic(), self._clock.wall()
            self._backlogs.asks(self._queue_name)
            messages = await self._receive(free, asked_at)
            if messages is None:
                await self._pause()
                continue
            arrived_at = self.last_turn = self._clock.monotonic()
            waited = any(message.sent_at < asked_wall - _BACKLOG_S for message in messages)
            # One free place is filled also by a queue that is nearly idle.
            full = len(messages) == free and (free > 1 or waited)
            self._backlogs.answered(self._queue_name, full=self._floods and full)
            for _ in messages:
                self.last_message_at = anyio.current_time()
                self._slots.take()
            start(messages, arrived_at)
            if not messages:
                await self._rest(asked_at + _EMPTY_TURN_S - arrived_at)

    def stop(self) -> None:
        """Ask for no more."""
        self.stopping.set()
        self._slots.wake()
        self._queue.stop_receiving()

    async def _receive(self, free: int, asked_at: float) -> Sequence[ReceivedMessage] | None:
        try:
            messages = await self._queue.receive(
                max_messages=free, wait_s=self._wait_time_s, visibility_timeout_s=self._visibility_timeout_s
            )
        except BackendError as error:
            self._backlogs.answered(self._queue_name, full=False)
            self._failures += 1
            self.last_turn = self._clock.monotonic()
            self._queue_health.receive_failed(asked_at)
            log.warning("receive.failed", error=str(error), failures=self._failures)
            return None
        self._failures = 0
        self._queue_health.received()
        return messages

    async def _free_places(self) -> int:
        """Wait until more urgent queues have no backlog, for a free place, then a bounded moment for more."""
        while self._backlogs.hold_up(self._queue_name) and not self.stopping.is_set():
            await self._turn(COALESCE_S)
        while not self._slots.free and not self.stopping.is_set():
            await self._turn(_TURN_S)
        with anyio.move_on_after(COALESCE_S):
            while self._slots.free < min(self._enough, self._slots.open) and not self.stopping.is_set():
                await self._turn(COALESCE_S)
        return min(self._slots.free, MAX_BATCH)

    async def _sat_out_outage(self) -> bool:
        """While the store fails for everybody, wait until it answers; True while one job at a time is to try it.

        So an outage does not burn attempts.
        """
        store = self._store_health
        await self._ending_at(self.stopping, store.look)
        while (store.outage or store.on_trial) and not self._slots.idle and not self.stopping.is_set():
            await self._turn(_TURN_S)
        if store.outage and not self.stopping.is_set():
            log.warning("receive.paused", reason="the store does not answer", failures=store.failures)
        while store.outage and not self.stopping.is_set():
            await self._rest(self._pause_s(store.failures))
            self.last_turn = self._clock.monotonic()
            await self._ending_at(self.stopping, store.recover)
        return store.on_trial

    async def _turn(self, at_most_s: float) -> None:
        self.last_turn = self._clock.monotonic()
        await self._slots.wait(at_most_s)

    async def _pause(self) -> None:
        """Wait as long as the failures so far ask for, or until a heartbeat or an ack shows that the queue is back."""
        await self._ending_at(self._queue_health.recovered, partial(self._rest, self._pause_s(self._failures)))

    def _pause_s(self, failures: int) -> float:
        return min(backoff_s(failures + 1, self._random.random()), _MAX_PAUSE_S)

    @staticmethod
    async def _ending_at(event: anyio.Event, wait: Callable[[], Awaitable[object]]) -> None:
        async def end() -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            await wait()
            tasks.cancel_scope.cancel()

    async def _rest(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self.stopping.wait()

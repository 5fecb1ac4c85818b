"""Receiving: asks the queue for what can start, and for nothing while asking would only cost attempts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import backoff_s
from thumbq.ports import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random

    from thumbq.jobs.storehealth import StoreHealth
    from thumbq.ports import Clock
    from thumbq.worker.backlogs import Backlogs
    from thumbq.worker.lease import Lease
    from thumbq.worker.leasedqueue import LeasedQueue
    from thumbq.worker.places import Places

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COALESCE_S: Final = 0.25
"""How long to wait for more free places, so that one request brings several messages."""

_WAIT_S: Final = 5.0
"""How long one wait for a place lasts: the loop shows that it is alive so often."""

_MAX_PAUSE_S: Final = 5.0
_BACKLOG_S: Final = 1.0
"""How long a message has waited, at the least, that shows a backlog; the clocks of SQS and of this host may differ."""

_EMPTY_S: Final = 1.0
"""The least time between two receives when the first one came back empty: short polling must not spin."""


class Receiver:
    """The one receiver of a queue: a request for ten messages takes milliseconds, a render takes more than that.

    ``queue_name`` is the queue's name in the settings.
    """

    def __init__(
        self,
        queue: LeasedQueue,
        *,
        queue_name: str,
        fifo: bool,
        places: Places,
        backlogs: Backlogs,
        store_health: StoreHealth,
        clock: Clock,
        random: Random,
    ) -> None:
        self._queue = queue
        self._queue_name = queue_name
        # Ten messages of one group are one job at a time: they keep no other queue's from the processes.
        self._floods = not fifo
        self._places = places
        self._backlogs = backlogs
        self._store_health = store_health
        self._clock = clock
        self._random = random
        self._stopping = anyio.Event()
        self.last_message_at = -math.inf
        """When the last message came, in the event loop's time."""

    async def next(self) -> Sequence[Lease] | None:
        """Return leases on the next messages, a place taken for each; None once it was stopped.

        An open receive is let return.
        """
        while not self._stopping.is_set():
            free = await self._free_places()
            if await self._sat_out_outage():
                free = 1
            if self._stopping.is_set():
                break
            asked_at = self._clock.monotonic()
            leases = await self._receive(free)
            if leases is None:
                await self._sit_out_failure()
            elif leases:
                return leases
            else:
                await self._pause(asked_at + _EMPTY_S - self._clock.monotonic())
        return None

    def stop(self) -> None:
        """Ask for no more."""
        self._stopping.set()
        self._places.wake()
        self._queue.stop_receiving()

    def places(self) -> tuple[int, int]:
        """Return how many messages are in flight, and how many may be."""
        return self._places.taken, self._places.total

    def give_back_place(self) -> None:
        """Give back the place of one message after its jobs have ended."""
        self._places.give_back()

    async def _receive(self, free: int) -> Sequence[Lease] | None:
        asked_at = self._clock.wall()
        self._backlogs.asks(self._queue_name)
        leases = await self._queue.receive(free)
        sent_at = [lease.message.sent_at for lease in leases or () if lease.message.sent_at is not None]
        waited = any(at < asked_at - _BACKLOG_S for at in sent_at)
        # One free place is filled also by a queue that is nearly idle.
        full = leases is not None and len(leases) == free and (free > 1 or waited)
        self._backlogs.answered(self._queue_name, full=self._floods and full, waited=self._floods and waited)
        for _ in leases or ():
            self.last_message_at = anyio.current_time()
            self._places.take()
        return leases

    async def _free_places(self) -> int:
        """Wait until more urgent queues have no backlog, for a free place, and then for more of them.

        That is a bounded moment, unless asking later costs nobody anything: what is at hand keeps the processes busy,
        and what is asked for would only wait behind it.
        """
        while self._backlogs.hold_up(self._queue_name) and not self._stopping.is_set():
            await self._wait(COALESCE_S)
        while not self._places.free and not self._stopping.is_set():
            await self._wait(_WAIT_S)
        end = anyio.current_time() + COALESCE_S
        while self._places.free < self._places.worth_a_receive and not self._stopping.is_set():
            left_s = end - anyio.current_time()
            if left_s <= 0 and not (self._places.next_at_hand and self._backlogs.seems_to_have_more(self._queue_name)):
                break
            await self._wait(left_s if left_s > 0 else COALESCE_S)
        return min(self._places.free, MAX_BATCH)

    async def _sat_out_outage(self) -> bool:
        """While the store fails for everybody, wait until it answers; True while one job at a time is to try it.

        So an outage does not burn attempts.
        """
        store = self._store_health
        await _first_of(self._stopping.wait, store.look)
        while (store.outage or store.on_trial) and not self._places.idle and not self._stopping.is_set():
            await self._wait(_WAIT_S)
        if store.outage and not self._stopping.is_set():
            log.warning("receive.paused", reason="the store fails for everybody", error=store.outage.error)
        while store.outage and not self._stopping.is_set():
            await self._pause(self._backoff_s(store.failed_probes))
            self._queue.note_waiting()
            await _first_of(self._stopping.wait, store.recover)
        return store.on_trial

    async def _sit_out_failure(self) -> None:
        """Wait as the failures so far ask for, or until a heartbeat or an ack shows that the queue is back."""
        pause_s = self._backoff_s(self._queue.failed_receives)
        await _first_of(self._queue.answers_again, lambda: self._pause(pause_s))

    def _backoff_s(self, failures: int) -> float:
        return min(backoff_s(failures + 1, self._random.random()), _MAX_PAUSE_S)

    async def _wait(self, at_most_s: float) -> None:
        """Wait until a place is given back."""
        self._queue.note_waiting()
        await self._places.wait(at_most_s)

    async def _pause(self, seconds: float) -> None:
        """Wait until a stop."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()


async def _first_of(one: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]]) -> None:
    """Wait for whichever ends first, and cancel the other."""

    async def wait(side: Callable[[], Awaitable[object]]) -> None:
        await side()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, one)
        await wait(other)

"""The consumer: runs each received job under its lease, and stops in order."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core.retry import Abandon, Disposition, Release
from thumbq.jobs.delivery import Work
from thumbq.jobs.fencing import fenced
from thumbq.jobs.groups import Turn, turns
from thumbq.worker.lease import Lease, LeaseState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from thumbq.jobs.handler import MessageHandler
    from thumbq.ports import Clock, ReceivedMessage
    from thumbq.worker.acks import Acks
    from thumbq.worker.deadlettersweep import Sweeper
    from thumbq.worker.disposer import Disposer
    from thumbq.worker.lease import LeaseKeeper
    from thumbq.worker.places import Places
    from thumbq.worker.queuehealth import QueueHealth
    from thumbq.worker.receiver import Receiver

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_STALL_S: Final = 60.0
_TIDY_S: Final = 0.5
_BUG_DELAY_S: Final = 30.0


class Consumer:
    """Turns messages into jobs, as many at once as there are slots, until it is stopped."""

    def __init__(
        self,
        *,
        receiver: Receiver,
        slots: Places,
        jobs: MessageHandler,
        keeper: LeaseKeeper,
        acks: Acks,
        disposer: Disposer,
        sweeper: Sweeper | None,
        health: QueueHealth,
        clock: Clock,
        wait_time_s: int,
        fifo: bool,
    ) -> None:
        self._receiver = receiver
        self._slots = slots
        self._jobs = jobs
        self._keeper = keeper
        self._acks = acks
        self._disposer = disposer
        self._sweeper = sweeper
        self._health = health
        self._clock = clock
        self._wait_time_s = wait_time_s
        self._fifo = fifo
        self._running: dict[Work, anyio.CancelScope] = {}
        self._ending: dict[Work, anyio.CancelScope] = {}
        self._polling = anyio.CancelScope()
        self._sweeping = anyio.CancelScope()
        self._ends_at = math.inf

    async def run(self) -> None:
        """Consume until ``stop`` was called and every job has ended with its disposition carried out."""
        async with anyio.create_task_group() as side:
            side.start_soon(self._keeper.run)
            side.start_soon(self._acks.run)
            if self._sweeper is not None:
                side.start_soon(self._sweep, self._sweeper)
            async with anyio.create_task_group() as jobs:
                with self._polling:
                    await self._receiver.run(partial(self._start, jobs))
            side.cancel_scope.cancel()

    def stop(self) -> None:
        """Receive no more. What has not started and what the open receive still brings is given back; the rest ends."""
        self._receiver.stop()
        self._sweeping.cancel()
        for work, scope in self._running.items():
            work.stopping = True
            if not work.started and not self._jobs.is_last_receive(work.message):
                scope.cancel()

    def abort(self, *, within_s: float) -> None:
        """Cut running jobs off: their renders are killed and their messages given back, all ``within_s`` seconds."""
        self._ends_at = anyio.current_time() + within_s
        self._polling.cancel()
        for scope in self._running.values():
            scope.cancel()
        for scope in self._ending.values():
            scope.deadline = self._ends_at

    def not_alive(self) -> str | None:
        """Say which loop has stopped going round, if one has."""
        now = self._clock.monotonic()
        if not self._receiver.stopping.is_set() and now - self._receiver.last_turn > self._wait_time_s + _STALL_S:
            return "the receive loop has stopped"
        if now - self._keeper.last_turn > _STALL_S:
            return "the heartbeat loop has stopped"
        return None

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        return self._health.not_receiving()

    async def _sweep(self, sweeper: Sweeper) -> None:
        with self._sweeping:
            await sweeper.run()

    def _start(self, jobs: TaskGroup, messages: Sequence[ReceivedMessage], arrived_at: float) -> None:
        for message, turn in turns(messages, fifo=self._fifo):
            jobs.start_soon(self._handle, message, arrived_at, turn)

    async def _handle(self, message: ReceivedMessage, arrived_at: float, turn: Turn) -> None:
        structlog.contextvars.bind_contextvars(message_id=message.id, receive_count=message.receive_count)
        disposition: Disposition = Release()
        work = Work(message)
        with anyio.CancelScope() as scope:
            lease = self._keeper.hold(message, arrived_at=arrived_at, on_lost=scope.cancel)
            self._running[work] = scope
            try:
                if self._may_begin(message):
                    with fenced(partial(self._keeper.holds, lease)):
                        disposition = await self._attempt(work, turn)
            except Exception:  # a bug in one job must not cancel the others: it is logged whole
                log.exception("job.bug")
                disposition = Release(_BUG_DELAY_S)
            finally:
                del self._running[work]
                self._slots.give_back()
        if lease.state is LeaseState.LOST:
            disposition = Abandon()
            log.warning("lease.lost", reason=lease.lost_because)
        if isinstance(disposition, Release | Abandon):
            # What waits behind it goes back with it. The queue hands out none of them before this one is visible.
            turn.end(removed=False)
        turn.end(removed=await self._end(lease, work, disposition, urgent=turn.awaited))

    def _may_begin(self, message: ReceivedMessage) -> bool:
        """Whether a job can begin now. After ``abort`` none can: what it cuts off is what runs then."""
        if math.isfinite(self._ends_at):
            return False
        # A last receive is used even after a stop: given back, the message would be a dead letter without a word.
        return not self._receiver.stopping.is_set() or self._jobs.is_last_receive(message)

    async def _attempt(self, work: Work, turn: Turn) -> Disposition:
        if await turn.comes():
            return await self._jobs.attempt(work)
        turn.end(removed=False)
        log.info("message.passed_over", group=work.message.group)
        return await self._jobs.passed_over(work.message)

    async def _end(self, lease: Lease, work: Work, disposition: Disposition, *, urgent: bool) -> bool:
        log.debug("message.disposition", disposition=type(disposition).__name__.lower())
        with anyio.CancelScope(shield=True, deadline=self._ends_at) as scope:
            self._ending[work] = scope
            try:
                with fenced(partial(self._keeper.holds, lease)):
                    if isinstance(disposition, Release):
                        with anyio.move_on_after(_TIDY_S):
                            await self._jobs.cut_off(work)
                    return await self._disposer.dispose(lease, disposition, urgent=urgent)
            except Exception:  # the same: this message comes back by its time-out
                log.exception("disposition.bug")
                await self._keeper.close(lease)
            finally:
                del self._ending[work]
        return False

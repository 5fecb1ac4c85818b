"""The consumers of all queues of a replica, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.worker.consumer import Consumer

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Consumers:
    """Starts, stops and asks the consumers of several queues, by the queues' names; they share pool, memory and store.

    What one of them logs has its queue's name as ``queue``, if it has one.
    """

    def __init__(self, consumers: Mapping[str, Consumer]) -> None:
        self._consumers = consumers
        self._stopped = anyio.Event()

    async def run(self) -> None:
        """Consume until ``stop`` was called and every job of every queue has ended."""
        async with anyio.create_task_group() as tasks:
            for queue_name, consumer in self._consumers.items():
                tasks.start_soon(_run, queue_name, consumer)
        self._stopped.set()

    async def shut_down(self, *, by: float, kill_reserve_s: float) -> None:
        """Stop, and let running jobs end; what is left so long before ``by`` is killed and given back.

        ``by`` is a time of the event loop.
        """
        self.stop()
        with anyio.move_on_at(by - kill_reserve_s):
            await self._stopped.wait()
        if not self._stopped.is_set():
            log.warning("service.drain_cut_off")
            self.abort(within_s=kill_reserve_s / 2)
            with anyio.move_on_after(kill_reserve_s / 2):
                await self._stopped.wait()

    def stop(self) -> None:
        """Receive no more from any queue; see Consumer.stop."""
        for consumer in self._consumers.values():
            consumer.stop()

    def abort(self, *, within_s: float) -> None:
        """Cut all running jobs off; see Consumer.abort."""
        for consumer in self._consumers.values():
            consumer.abort(within_s=within_s)

    def places(self) -> dict[str, tuple[int, int]]:
        """Return how many messages of each queue are in flight, and how many may be."""
        return {queue_name: consumer.places() for queue_name, consumer in self._consumers.items()}

    def not_alive(self) -> str | None:
        """Say which loop has stopped going round, if one has."""
        reasons = (_of(queue_name, consumer.not_alive()) for queue_name, consumer in self._consumers.items())
        return next(filter(None, reasons), None)

    def not_receiving(self) -> str | None:
        """Say so when no queue answers. One alone tells nothing of this replica: it fails for the others, too."""
        reasons = [_of(queue_name, consumer.not_receiving()) for queue_name, consumer in self._consumers.items()]
        return None if None in reasons else reasons[0]

    def away_since(self) -> dict[str, float | None]:
        """Return since when each queue has not answered, in POSIX seconds, by its name; None where it answers."""
        return {queue_name: consumer.away_since() for queue_name, consumer in self._consumers.items()}


async def _run(queue_name: str, consumer: Consumer) -> None:
    if queue_name:
        structlog.contextvars.bind_contextvars(queue=queue_name)
    await consumer.run()


def _of(queue_name: str, reason: str | None) -> str | None:
    return f"{queue_name}: {reason}" if queue_name and reason else reason

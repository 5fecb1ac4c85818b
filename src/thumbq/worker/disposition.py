"""What a decided disposition does to its message: the one place that ends a lease."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from thumbq.core import retry
from thumbq.core.retry import Abandon, Bury, Delete, Disposition, Release
from thumbq.errors import BackendError

if TYPE_CHECKING:
    from random import Random

    from thumbq.ports import JobQueue
    from thumbq.worker.acks import Acks
    from thumbq.worker.lease import Lease, LeaseKeeper

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Disposer:
    """Carries out dispositions; each ends with the last call on the message's receipt."""

    def __init__(self, *, queue: JobQueue, keeper: LeaseKeeper, acks: Acks, random: Random) -> None:
        self._queue = queue
        self._keeper = keeper
        self._acks = acks
        self._random = random

    async def dispose(self, lease: Lease, disposition: Disposition) -> None:
        """Carry out one disposition, as far as the lease still stands."""
        if isinstance(disposition, Bury) and self._keeper.holds(lease):
            disposition = await self._bury(lease, disposition)
        if isinstance(disposition, Abandon) or not await self._keeper.close(lease):
            return
        if isinstance(disposition, Release):
            await self._acks.release(lease, disposition.delay_s)
        else:
            await self._acks.delete(lease)

    async def _bury(self, lease: Lease, bury: Bury) -> Delete | Release:
        """Copy the message to the dead letters; the failed manifest is the record where there are none."""
        message = lease.message
        note = json.dumps(
            {
                "code": bury.code,
                "reason": bury.text[:2000],
                "message_id": message.id,
                "receive_count": message.receive_count,
            }
        )
        try:
            copied = await self._queue.send_dead_letter(message.body, note)
        except BackendError as error:
            log.warning("bury.failed", error=str(error))
            return Release(retry.backoff_s(message.receive_count, self._random.random()))
        log.info("message.buried", code=bury.code, dead_letter=copied)
        return Delete()

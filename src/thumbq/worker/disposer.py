"""What a decided disposition does to its message: the one place that ends a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.retry import Abandon, Bury, Disposition, Release
from thumbq.jobs.burial import bury

if TYPE_CHECKING:
    from random import Random

    from thumbq.jobs.burial import Burial
    from thumbq.worker.acks import Acks
    from thumbq.worker.lease import Lease, LeaseKeeper


class Disposer:
    """Carries out dispositions; each ends with the last call on the message's receipt."""

    def __init__(self, *, burial: Burial | None, keeper: LeaseKeeper, acks: Acks, random: Random) -> None:
        self._burial = burial
        self._keeper = keeper
        self._acks = acks
        self._random = random

    async def dispose(self, lease: Lease, disposition: Disposition, *, urgent: bool = False) -> bool:
        """Carry out one disposition, as far as the lease still stands; True when the message is off the queue.

        ``urgent``: another message waits for this one's end.
        """
        if isinstance(disposition, Bury):
            disposition = await bury(self._burial, lease.message, disposition, random=self._random)
        if isinstance(disposition, Abandon) or not await self._keeper.close(lease):
            return False
        if isinstance(disposition, Release):
            await self._acks.release(lease, disposition.delay_s)
            return False
        return await self._acks.delete(lease, urgent=urgent)

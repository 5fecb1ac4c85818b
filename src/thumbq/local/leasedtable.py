"""A table whose rows are received on leases, for the ports to messages and to dead letters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol, TypeVar

from thumbq.local import leases

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from thumbq.local.database import Database
    from thumbq.local.leases import Table
    from thumbq.ports import Clock, EntryResult, VisibilityChange


class _Received(Protocol):
    @property
    def receipt(self) -> str: ...


T = TypeVar("T", bound=_Received)


class LeasedTable:
    """Receives, extends and deletes rows of one table, at the clock's wall time."""

    def __init__(self, database: Database, clock: Clock, table: Table) -> None:
        self._database = database
        self._clock = clock
        self._table = table

    async def receive(self, take: Callable[[sqlite3.Connection, str, float], list[T]]) -> list[T]:
        """Run ``take`` with a token that is unique to this receive and the time; a cancelled call is undone."""
        token = uuid.uuid4().hex

        def undo(connection: sqlite3.Connection, taken: list[T]) -> None:
            receipts = [received.receipt for received in taken]
            leases.undo_receive(connection, self._table, receipts, now=self._clock.wall())

        return await self._database.write(lambda connection: take(connection, token, self._clock.wall()), undo=undo)

    async def extend(self, changes: Sequence[VisibilityChange]) -> list[EntryResult]:
        """Change how long rows stay hidden."""
        return await self._database.write(
            lambda connection: leases.extend_each(connection, self._table, changes, now=self._clock.wall())
        )

    async def delete(self, receipts: Sequence[str]) -> list[EntryResult]:
        """Remove rows for good; see leases.delete for receipts that ran out."""
        return await self._database.write(
            lambda connection: [leases.delete(connection, self._table, receipt=receipt) for receipt in receipts]
        )

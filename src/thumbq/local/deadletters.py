"""The dead letters of the database."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import message
from thumbq.core.deadletter import ATTRIBUTE
from thumbq.errors import BackendError, SendRefused
from thumbq.local import holds, letters

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from thumbq.local.database import Database
    from thumbq.local.messages import Rules
    from thumbq.ports import Clock, DeadLetter, EntryResult, MoveProgress, VisibilityChange

_TYPE: Final = "String"  # what the attribute has on SQS, which counts it too
_TABLE: Final = "dead_letters"
_LOOK_EVERY_S: Final = 0.1


class LocalDeadLetters:
    """The DeadLetters of one queue that several processes on one directory share.

    They are kept until they are removed, and come in no order, also those of a FIFO queue.
    """

    def __init__(self, database: Database, clock: Clock, rules: Rules) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules

    @property
    def max_bytes(self) -> int:
        """As many bytes as SQS takes by default."""
        return message.MAX_BODY_BYTES

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        """Keep a copy with its note. What SQS would not take is refused here too."""
        message.check_sendable(body)
        self._rules.check_group(group)
        size = len(body.encode()) + len(note.encode()) + len(ATTRIBUTE) + len(_TYPE)
        if size > self.max_bytes:
            raise SendRefused(f"a dead letter has at most {self.max_bytes} bytes with its note, this one has {size}")
        await self._database.write(
            lambda connection: letters.send(
                connection,
                self._rules.queue,
                letter_id=str(uuid.uuid4()),
                body=body,
                note=note,
                group=group,
                now=self._clock.wall(),
            )
        )

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        """Look at dead letters; see DeadLetters.receive. A cancelled call gives back what it took."""
        deadline = anyio.current_time() + wait_s
        while True:
            if await self._database.read(
                lambda connection: holds.any_visible(
                    connection, _TABLE, queue=self._rules.queue, now=self._clock.wall()
                )
            ):
                taken = await self._take(max_messages, visibility_timeout_s)
                if taken:
                    return taken
            left = deadline - anyio.current_time()
            if left <= 0:
                return []
            await anyio.sleep(min(left, _LOOK_EVERY_S))

    async def _take(self, limit: int, timeout_s: int) -> list[DeadLetter]:
        token = uuid.uuid4().hex

        def take(connection: sqlite3.Connection) -> list[DeadLetter]:
            return letters.take(
                connection, self._rules.queue, limit=limit, token=token, timeout_s=timeout_s, now=self._clock.wall()
            )

        def give_back(connection: sqlite3.Connection, taken: list[DeadLetter]) -> None:
            receipts = [letter.receipt for letter in taken]
            holds.give_back(connection, _TABLE, receipts, now=self._clock.wall())

        return await self._database.write(take, undo=give_back)

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long dead letters stay hidden; see DeadLetters.extend."""
        return await self._database.write(
            lambda connection: holds.extend_each(connection, _TABLE, changes, now=self._clock.wall())
        )

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove dead letters for good; see holds.delete for receipts that ran out."""
        return await self._database.write(
            lambda connection: [holds.delete(connection, _TABLE, receipt=receipt) for receipt in receipts]
        )

    async def purge(self) -> None:
        """Remove all dead letters for good."""
        await self._database.write(lambda connection: letters.purge(connection, self._rules.queue))

    async def start_move(self, *, rate: int | None) -> str | None:  # noqa: ARG002 - the port's
        """Return None: whoever moves dead letters receives, sends and deletes them."""
        return None

    async def move_progress(self, handle: str) -> MoveProgress:
        """Raise BackendError, as no move was ever started here."""
        raise BackendError(f"there is no move {handle}")

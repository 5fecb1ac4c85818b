"""DeadLetters on the database."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import message, tracecontext
from thumbq.core.deadletter import ATTRIBUTE, ATTRIBUTE_TYPE
from thumbq.errors import BackendError, SendRefused
from thumbq.local import deadlettertable, leases
from thumbq.local.leasedtable import LeasedTable
from thumbq.ports.tracing import Sending, during, trace_to_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.local.database import Database
    from thumbq.local.messagetable import QueueRules
    from thumbq.ports import Clock, DeadLetter, EntryResult, MoveProgress, VisibilityChange

_TABLE: Final = "dead_letters"
_LOOK_EVERY_S: Final = 0.1


class LocalDeadLetters:
    """The DeadLetters of one queue that several processes on one directory share.

    Dead letters are kept until they are removed. They come in no order, also those of a FIFO queue.
    """

    def __init__(self, database: Database, clock: Clock, rules: QueueRules) -> None:
        self._database = database
        self._clock = clock
        self._rows = LeasedTable(database, clock, _TABLE)
        self._rules = rules

    @property
    def max_bytes(self) -> int:
        """The limit that SQS has by default."""
        return message.MAX_BODY_BYTES

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        """Keep a copy with its note. A message that SQS would refuse is refused here too."""
        message.check_sendable(body)
        self._rules.check_group(group)
        size = len(body.encode()) + len(note.encode()) + len(ATTRIBUTE) + len(ATTRIBUTE_TYPE)
        if size > self.max_bytes:
            raise SendRefused(f"a dead letter has at most {self.max_bytes} bytes with its note, this one has {size}")
        message_id = str(uuid.uuid4())
        with during(Sending(f"dead letters of {self._rules.label}")) as told:
            trace = tracecontext.beside(trace_to_send(), body, max_bytes=self.max_bytes - size + len(body.encode()))
            append = partial(deadlettertable.send, body=body, note=note, group=group, trace=trace)
            await self._database.write(
                lambda connection: append(connection, self._rules.queue, message_id=message_id, now=self._clock.wall())
            )
            told(message_id=message_id)

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        """Receive dead letters; see DeadLetters.receive. A cancelled call is undone."""
        deadline = anyio.current_time() + wait_s
        while True:
            if await self._database.read(
                lambda connection: leases.any_visible(
                    connection, _TABLE, queue=self._rules.queue, now=self._clock.wall()
                )
            ):
                taken = await self._rows.receive(
                    lambda connection, token, now: deadlettertable.take(
                        connection,
                        self._rules.queue,
                        limit=max_messages,
                        token=token,
                        timeout_s=visibility_timeout_s,
                        now=now,
                    )
                )
                if taken:
                    return taken
            left = deadline - anyio.current_time()
            if left <= 0:
                return []
            await anyio.sleep(min(left, _LOOK_EVERY_S))

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long dead letters stay hidden; see DeadLetters.extend."""
        return await self._rows.extend(changes)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove dead letters for good; see leases.delete for receipts that ran out."""
        return await self._rows.delete(receipts)

    async def purge(self) -> None:
        """Remove all dead letters for good."""
        await self._database.write(lambda connection: deadlettertable.purge(connection, self._rules.queue))

    async def start_move(self, *, rate: int | None) -> str | None:  # noqa: ARG002 - the port's
        """Return None: this backend moves nothing by itself."""
        return None

    async def move_progress(self, handle: str) -> MoveProgress:
        """Raise BackendError, as no move was ever started here."""
        raise BackendError(f"there is no move {handle}")

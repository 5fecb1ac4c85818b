"""JobQueue on the database, with long polls."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import message, tracecontext
from thumbq.errors import BackendUnavailable, NotSent
from thumbq.local import errors, messagetable
from thumbq.local.leasedtable import LeasedTable
from thumbq.ports import QueueAttributes
from thumbq.ports.tracing import Sending, during, trace_to_send

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thumbq.local.database import Database
    from thumbq.local.messagetable import QueueRules
    from thumbq.ports import Clock, EntryResult, QueueCounts, ReceivedMessage, VisibilityChange

_LOOK_EVERY_S: Final = 0.1
"""How often a long poll looks for messages of other processes and for leases that ran out."""

_VISIBILITY_TIMEOUT_S: Final = 30


class LocalQueue:
    """A JobQueue that several processes on one directory share. Times come from the clock's wall time."""

    def __init__(self, database: Database, clock: Clock, rules: QueueRules, *, directory: Path) -> None:
        self._database = database
        self._clock = clock
        self._rows = LeasedTable(database, clock, "messages")
        self._rules = rules
        self._attributes = QueueAttributes(
            f"{rules.queue} in {directory}" if rules.queue else str(directory),
            _VISIBILITY_TIMEOUT_S,
            retention_s=None,
            max_receive_count=rules.max_receive_count,
            fifo=rules.fifo,
        )
        self._news = anyio.Event()
        self._stopping = False

    async def send(self, body: str, *, group: str | None = None) -> str:
        """Put a message into the queue; see JobQueue.send. A message that SQS would refuse is refused here too."""
        message.check_sendable(body)
        self._rules.check_group(group)
        message_id = str(uuid.uuid4())
        with during(Sending(self._rules.label)) as note:
            trace = tracecontext.beside(trace_to_send(), body, max_bytes=message.MAX_BODY_BYTES)
            append = partial(messagetable.send, message_id=message_id, body=body, group=group, trace=trace)
            try:
                await self._database.write(
                    lambda connection: append(connection, self._rules, now=self._clock.wall()),
                )
            except BackendUnavailable as error:
                if errors.left_nothing(error):
                    raise NotSent(str(error)) from error
                raise
            note(message_id=message_id)
        self._wake_polls()
        return message_id

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        """Receive messages; see JobQueue.receive. A cancelled call is undone."""
        deadline = anyio.current_time() + wait_s
        while not self._stopping:
            news = self._news
            if await self._database.read(
                lambda connection: messagetable.any_to_take(connection, self._rules, now=self._clock.wall())
            ):
                taken = await self._rows.receive(
                    lambda connection, token, now: messagetable.take(
                        connection,
                        self._rules,
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
                break
            with anyio.move_on_after(min(left, _LOOK_EVERY_S)):
                await news.wait()
        return []

    def stop_receiving(self) -> None:
        """Let open and later receives return at once."""
        self._stopping = True
        self._wake_polls()

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        """Change how long messages stay hidden; see JobQueue.extend."""
        results = await self._rows.extend(changes)
        if any(change.timeout_s == 0 for change in changes):
            self._wake_polls()
        return results

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        """Remove messages for good; see JobQueue.delete, and leases.delete for receipts that ran out."""
        results = await self._rows.delete(receipts)
        if self._rules.fifo:
            self._wake_polls()  # the next of the group may come
        return results

    async def attributes(self) -> QueueAttributes:
        """Return the queue's settings; the name contains the directory, and messages are kept for ever."""
        return self._attributes

    async def counts(self) -> QueueCounts:
        """Count the messages, exactly."""
        return await self._database.read(
            lambda connection: messagetable.counts(connection, self._rules.queue, now=self._clock.wall())
        )

    def _wake_polls(self) -> None:
        """Have the long polls of this process look again."""
        self._news.set()
        self._news = anyio.Event()

"""Message groups of a FIFO queue: what one receive brought of a group is done one after the other.

The queue hands out nothing of a group while any of it is in flight. So what has to be kept in order here is what came
together: a message has its turn once the one before it is deleted, and only then. If that one stays in the queue
(released, abandoned, lost, its delete not answered), nothing behind it may start, for it will come again first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.ports import ReceivedMessage


class Turn:
    """The turn of one message, after that of the one ``before`` it in its group."""

    def __init__(self, before: Turn | None = None) -> None:
        self._before = before
        self.awaited = False
        """Whether another message waits for the end of this one."""
        self.over = anyio.Event()
        self.removed = False
        if before is not None:
            before.awaited = True

    async def comes(self) -> bool:
        """Wait for the end of the turn before; False when that message is still in the queue."""
        if self._before is None:
            return True
        await self._before.over.wait()
        return self._before.removed

    def end(self, *, removed: bool) -> None:
        """Let the next one go on; ``removed`` says that this message is off the queue. The first call counts."""
        if not self.over.is_set():
            self.removed = removed
            self.over.set()


def turns(messages: Sequence[ReceivedMessage], *, fifo: bool) -> Iterator[tuple[ReceivedMessage, Turn]]:
    """Give each message of one receive its turn. On a standard queue (not ``fifo``) a group has no order."""
    last: dict[str, Turn] = {}
    for message in messages:
        if not fifo or message.group is None:
            yield message, Turn()
        else:
            last[message.group] = turn = Turn(last.get(message.group))
            yield message, turn

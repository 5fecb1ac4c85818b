"""Message groups of a FIFO queue: the messages of a group that came with one receive are handled one after the other.

The queue hands out nothing of a group while any of its messages is in flight. So only messages of one receive have to
be kept in order here: a message starts once its predecessor is deleted, and not before. If the predecessor stays in the
queue (released, abandoned, lost, its delete not answered), nothing behind it may start, for it comes again first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.ports import ReceivedMessage


class GroupPosition:
    """The position of one message in its group, behind its ``predecessor`` if it has one."""

    def __init__(self, predecessor: GroupPosition | None = None) -> None:
        self.has_successor = False
        """Whether another message waits for the end of this one."""
        self._predecessor = predecessor
        self._ended = anyio.Event()
        self._removed = False
        if predecessor is not None:
            predecessor.has_successor = True

    async def predecessor_removed(self) -> bool:
        """Wait for the end of the predecessor; False when it is still in the queue."""
        if self._predecessor is None:
            return True
        await self._predecessor._ended.wait()  # noqa: SLF001 - of the same class
        return self._predecessor._removed  # noqa: SLF001 - of the same class

    def end(self, *, removed: bool) -> None:
        """Let the successor go on; ``removed`` says that this message is off the queue. The first call counts."""
        if not self._ended.is_set():
            self._removed = removed
            self._ended.set()


def positions(messages: Sequence[ReceivedMessage], *, fifo: bool) -> Iterator[GroupPosition]:
    """Return the position of each message of one receive. On a standard queue (not ``fifo``) a group has no order."""
    last: dict[str, GroupPosition] = {}
    for message in messages:
        if not fifo or message.group is None:
            yield GroupPosition()
        else:
            last[message.group] = position = GroupPosition(last.get(message.group))
            yield position

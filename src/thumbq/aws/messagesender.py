"""Sends to one queue, topic or bus: those that come at the same moment go as one request.

Whoever sends waits for it, an upload's client included. So no send waits for company: it goes in the event loop's next
turn, and with it whatever else is sent in this one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from thumbq.aws.errors import not_offered
from thumbq.errors import BackendError, NotSent, SendRefused
from thumbq.ports import MAX_BATCH
from thumbq.ports.observing import observed_context

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_BYTES: Final = 1 << 18
"""Of a batch: what SNS takes, and older servers of SQS and EventBridge (their API References)."""


class _Sized(Protocol):
    @property
    def size(self) -> int:
        """Return how many bytes it has in a request, at most."""
        ...


M = TypeVar("M", bound=_Sized)
M_contra = TypeVar("M_contra", bound=_Sized, contravariant=True)


class SendRequests(Protocol[M_contra]):
    """The requests that send messages to one place, alone and up to ten at once.

    Both raise SendRefused when the message is certainly not there, NotSent when another time may do, and
    BackendUnavailable when it may be there.
    """

    async def send(self, message: M_contra) -> str:
        """Send a message and return its id."""
        ...

    async def send_batch(self, messages: Sequence[M_contra]) -> Sequence[str | BackendError]:
        """Send messages in one request, and return the id of each, or what ``send`` would have raised for it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[M]):
    message: M
    sent: asyncio.Future[str]


class _Batch(Generic[M]):
    """Messages that go together. Its task is of none of their senders, and ends with the last of them."""

    def __init__(self) -> None:
        self.entries: list[_Entry[M]] = []
        self.task: asyncio.Task[None] | None = None
        self._bytes = 0

    def has_room(self, message: M) -> bool:
        return len(self.entries) < MAX_BATCH and self._bytes + message.size <= _MAX_BYTES

    def add(self, message: M) -> asyncio.Future[str]:
        entry = _Entry(message, asyncio.get_running_loop().create_future())
        self.entries.append(entry)
        self._bytes += message.size
        return entry.sent

    def leave(self) -> None:
        if self.task is not None and all(entry.sent.cancelled() for entry in self.entries):
            self.task.cancel()


class MessageSender(Generic[M]):
    """Sends messages to one place. What becomes of one is told to its own sender only."""

    def __init__(self, requests: SendRequests[M]) -> None:
        self._requests = requests
        self._next: _Batch[M] | None = None
        self._takes_batches = True

    async def send(self, message: M) -> str:
        """Send a message and return its id; raises as SendRequests."""
        batch = self._next
        if batch is None or not batch.has_room(message):
            batch = self._next = _Batch()
            # In no sender's context: its variables are of one message.
            batch.task = asyncio.create_task(self._send(batch), context=observed_context())
        sent = batch.add(message)
        try:
            return await sent
        except asyncio.CancelledError:
            batch.leave()
            raise

    async def _send(self, batch: _Batch[M]) -> None:
        if self._next is batch:
            self._next = None
        entries = [entry for entry in batch.entries if not entry.sent.done()]
        try:
            results = await self._results([entry.message for entry in entries])
        except Exception as error:  # noqa: BLE001 - a bug is the senders', too
            results = [error for _ in entries]
        except asyncio.CancelledError:
            for entry in entries:
                entry.sent.cancel()
            raise
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, str) and not entry.sent.done():
                entry.sent.set_result(result)
            elif isinstance(result, Exception) and not entry.sent.done():
                entry.sent.set_exception(result)

    async def _results(self, messages: Sequence[M]) -> Sequence[str | Exception]:
        if len(messages) > 1 and self._takes_batches:
            try:
                return await self._requests.send_batch(messages)
            except BackendError as error:
                if isinstance(error, NotSent) or not isinstance(error, SendRefused):
                    return [_same(error) for _ in messages]
                # One that is not taken must not cost the others their jobs.
                self._takes_batches = not not_offered(error)
        return [await self._alone(message) for message in messages]

    async def _alone(self, message: M) -> str | Exception:
        try:
            return await self._requests.send(message)
        except Exception as error:  # noqa: BLE001 - handed to the sender as it is
            return error


def _same(error: BackendError) -> BackendError:
    """Return an error like this one: each sender raises one of its own."""
    same = type(error)(str(error))
    same.__cause__ = error.__cause__
    return same

"""Sends to one queue: those that come at the same moment go as one request.

Whoever sends waits for it, an upload's client included. So no send waits for company: it goes in the event loop's next
turn, and with it whatever else is sent in this one.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.aws import requests
from thumbq.aws.errors import not_offered
from thumbq.errors import BackendError, NotSent, SendRefused
from thumbq.ports import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_sqs.client import SQSClient

    from thumbq.aws.requests import Outgoing

_MAX_CHARS: Final = 1 << 16
"""Of the bodies of a batch: 256 KiB at most, which older servers take of one (Amazon SQS API Reference)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    message: Outgoing
    sent: asyncio.Future[str]


class _Batch:
    """Messages that go together. Its task is of none of their senders, and ends with the last of them."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.task: asyncio.Task[None] | None = None
        self._chars = 0

    def has_room(self, message: Outgoing) -> bool:
        return len(self.entries) < MAX_BATCH and self._chars + len(message.body) <= _MAX_CHARS

    def add(self, message: Outgoing) -> asyncio.Future[str]:
        entry = _Entry(message, asyncio.get_running_loop().create_future())
        self.entries.append(entry)
        self._chars += len(message.body)
        return entry.sent

    def leave(self) -> None:
        if self.task is not None and all(entry.sent.cancelled() for entry in self.entries):
            self.task.cancel()


class MessageSender:
    """Sends messages to a queue. What becomes of one is told to its own sender only."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._next: _Batch | None = None
        self._takes_batches = True

    async def send(self, message: Outgoing) -> str:
        """Send a message and return its id; raises as requests.send."""
        batch = self._next
        if batch is None or not batch.has_room(message):
            batch = self._next = _Batch()
            # In no sender's context: its variables are of one message.
            batch.task = asyncio.create_task(self._send(batch), context=Context())
        sent = batch.add(message)
        try:
            return await sent
        except asyncio.CancelledError:
            batch.leave()
            raise

    async def _send(self, batch: _Batch) -> None:
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

    async def _results(self, messages: Sequence[Outgoing]) -> Sequence[str | Exception]:
        if len(messages) > 1 and self._takes_batches:
            try:
                return await requests.send_batch(self._sqs, self._url, messages)
            except BackendError as error:
                if isinstance(error, NotSent) or not isinstance(error, SendRefused):
                    return [_same(error) for _ in messages]
                # One that the queue does not take must not cost the others their jobs.
                self._takes_batches = not not_offered(error)
        return [await self._alone(message) for message in messages]

    async def _alone(self, message: Outgoing) -> str | Exception:
        try:
            return await requests.send(self._sqs, self._url, message.body, group=message.group)
        except Exception as error:  # noqa: BLE001 - handed to the sender as it is
            return error


def _same(error: BackendError) -> BackendError:
    """Return an error like this one: each sender raises one of its own."""
    same = type(error)(str(error))
    same.__cause__ = error.__cause__
    return same

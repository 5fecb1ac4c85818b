"""S3 and SQS of a large world: the ports of one replica, over what all replicas share, with each request counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from simulation.model import S3Model
from simulation.scale.fairqueue import FairQueue, QueuedMessage
from simulation.services import BUCKET
from thumbq.core import keys
from thumbq.errors import BackendUnavailable
from thumbq.local.presigned import LocalPresignedUploads
from thumbq.ports import Backend, DeadLetter, QueueAttributes, QueueCounts, ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from simulation.model import StoredObject
    from simulation.scale.partitions import Partitions
    from simulation.virtualloop import VirtualLoop
    from thumbq.core.job import ObjectRef
    from thumbq.ports import (
        Clock,
        EntryResult,
        ListedObject,
        MoveProgress,
        ObjectInfo,
        Sink,
        VisibilityChange,
    )

T = TypeVar("T")
M = TypeVar("M", ReceivedMessage, DeadLetter)

MAX_RECEIVE_COUNT: Final = 10

_S3_S: Final = (0.015, 0.045)
_SQS_S: Final = (0.005, 0.015)

_TRIES: Final = 4
"""The fast path's, and aiobotocore's three."""

_QUOTA: Final = 500
_RETRY_COSTS: Final = 5
"""Of botocore's quota of retries in its mode "standard": while nearly all fail, it tries no second time."""


class Shared:
    """What all replicas share. ``requests`` counts those that arrive, and what SlowDown was answered to."""

    def __init__(self, loop: VirtualLoop, random: Random, partitions: Partitions) -> None:
        self.loop = loop
        self.random = random
        self.s3 = S3Model(loop)
        self.partitions = partitions
        self.queue = FairQueue(loop, random, _received)
        self.dead = FairQueue(loop, random, _dead_letter)
        self.requests = Counter[str]()
        self.done_at: dict[str, float] = {}
        """When each manifest was stored first."""

    def backend(self, clock: Clock) -> Backend:
        """Return the ports of one replica."""
        return Backend(
            store=_Store(self),
            queue=_Queue(self),
            bucket=BUCKET,
            dead_letters=_DeadLetters(self),
            presigned_uploads=LocalPresignedUploads(b"", clock),
        )

    async def ask(self, what: str, between_s: tuple[float, float], do: Callable[[], T]) -> T:
        """Have a service do something; half of the time it is under way to it."""
        half_s = self.random.uniform(*between_s) / 2
        await asyncio.sleep(half_s)
        self.requests[what] += 1
        result = do()
        await asyncio.sleep(half_s)
        return result


class _SlowDown(Exception):
    """503: a partition has too many requests."""


class _Store:
    """ObjectStore of one replica, with what the adapter does by itself: a second try at once, and two later."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._quota = _QUOTA

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        put = partial(self._shared.s3.put, ref, body, content_type, metadata, if_absent=if_absent)
        etag = await self._ask("put", ref.key, put, write=True)
        if ref.key.startswith(keys.MANIFESTS_PREFIX):
            self._shared.done_at.setdefault(ref.key, self._shared.loop.now)
        return etag

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        found = await self._read(ref, max_bytes)
        return found.info, found.body

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        found = await self._read(ref, max_bytes)
        sink.write(found.body)
        return found.info

    async def _read(self, ref: ObjectRef, max_bytes: int) -> StoredObject:
        return await self._ask("get", ref.key, lambda: self._shared.s3.get(ref, max_bytes), write=False)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        return (await self._ask("head", ref.key, lambda: self._shared.s3.head(ref), write=False)).info

    async def delete(self, ref: ObjectRef) -> None:
        await self._ask("remove", ref.key, lambda: self._shared.s3.delete(ref), write=True)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        return await self._ask("list", prefix, lambda: self._shared.s3.list(bucket, prefix, after, limit), write=False)

    async def _ask(self, what: str, key: str, do: Callable[[], T], *, write: bool) -> T:
        shared = self._shared

        def carried_out() -> T:
            if not shared.partitions.admits(key, shared.loop.now, write=write):
                raise _SlowDown
            return do()

        for number in range(_TRIES):
            try:
                result = await shared.ask(what, _S3_S, carried_out)
            except _SlowDown:
                shared.requests["SlowDown"] += 1
                if number and self._quota < _RETRY_COSTS:
                    break
                if number:
                    self._quota -= _RETRY_COSTS
                    await asyncio.sleep(shared.random.random() * 2 ** (number - 1))
            else:
                self._quota = min(_QUOTA, self._quota + (_RETRY_COSTS if number > 1 else 1))
                return result
        raise BackendUnavailable(f"{what} {key}: SlowDown")


class _Receipts(Generic[M]):
    """Batches on receipts, each a request."""

    def __init__(self, shared: Shared, queue: FairQueue[M]) -> None:
        self._shared = shared
        self._messages: FairQueue[M] = queue

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[M]:
        half_s = self._shared.random.uniform(*_SQS_S) / 2
        await asyncio.sleep(half_s)
        self._shared.requests["receive"] += 1
        answer: asyncio.Future[list[M]] = self._shared.loop.create_future()
        self._messages.poll(max_messages, wait_s, visibility_timeout_s, answer.set_result)
        received = await answer
        await asyncio.sleep(half_s)
        return received

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        return await self._shared.ask(
            "extend", _SQS_S, lambda: [self._messages.extend(each.receipt, each.timeout_s) for each in changes]
        )

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        return await self._shared.ask("delete", _SQS_S, lambda: [*map(self._messages.delete, receipts)])


class _Queue(_Receipts[ReceivedMessage]):
    """JobQueue of one replica."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared, shared.queue)
        self._stopping = False

    async def send(self, body: str, *, group: str | None = None) -> str:
        return await self._shared.ask("send", _SQS_S, lambda: self._messages.send(body, group or ""))

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        if self._stopping:
            return []
        return await super().receive(
            max_messages=max_messages, wait_s=wait_s, visibility_timeout_s=visibility_timeout_s
        )

    def stop_receiving(self) -> None:
        self._stopping = True

    async def attributes(self) -> QueueAttributes:
        return QueueAttributes("jobs", 30, None, MAX_RECEIVE_COUNT)

    async def counts(self) -> QueueCounts:
        queue, dead = self._shared.queue, self._shared.dead
        return await self._shared.ask(
            "counts", _SQS_S, lambda: QueueCounts(len(queue) - queue.in_flight, queue.in_flight, 0, len(dead))
        )


class _DeadLetters(_Receipts[DeadLetter]):
    """DeadLetters of one replica."""

    max_bytes = 1 << 18

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared, shared.dead)

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        await self._shared.ask("bury", _SQS_S, lambda: self._messages.send(body, group or "", note))

    async def purge(self) -> None:
        raise NotImplementedError

    async def start_move(self, *, rate: int | None) -> str | None:
        raise NotImplementedError

    async def move_progress(self, handle: str) -> MoveProgress:
        raise NotImplementedError


def _received(message: QueuedMessage) -> ReceivedMessage:
    return ReceivedMessage(
        message.id, message.receipt, message.body, message.receive_count, message.sent_at_wall, group=message.tenant
    )


def _dead_letter(message: QueuedMessage) -> DeadLetter:
    return DeadLetter(
        message.id,
        message.receipt,
        message.body,
        message.note,
        message.sent_at_wall,
        message.receive_count,
        moved=False,
    )

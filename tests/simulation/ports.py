"""The ports of one replica, watched by the referee, over the models of S3 and SQS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from simulation.network import Network
from thumbq.core import keys
from thumbq.ports import Backend, DeadLetter, EntryResult, ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulation.model import SqsModel
    from simulation.replica import Replica
    from thumbq.core.job import ObjectRef
    from thumbq.ports import ListedObject, MoveProgress, ObjectInfo, QueueCounts, QueueFacts, Sink, VisibilityChange

T = TypeVar("T")

BUCKET: Final = "images"

_STORE_S: Final = 30.0
_CONTROL_S: Final = 5.0
"""How long the adapters let a request hang."""


class SimStore:
    """ObjectStore of one replica over the world's S3."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._network = Network(replica)
        self._s3 = replica.world.s3

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        world, hold = self._replica.world, self._replica.world.referee.about(self._replica)

        def put() -> str:
            if ref.key.startswith(keys.ATTEMPTS_PREFIX) and hold is not None:
                world.record_writers[ref.key] = (hold, world.loop.now)
            return self._s3.put(ref, body, content_type, metadata, if_absent=if_absent)

        return await self._ask(f"put {ref.key}", put, writes=True, again=not if_absent)

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        found = await self._ask(f"get {ref.key}", lambda: self._s3.get(ref, max_bytes))
        return found.info, found.body

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        found = await self._ask(f"fetch {ref.key}", lambda: self._s3.get(ref, max_bytes))
        sink.write(found.body)
        return found.info

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        return (await self._ask(f"head {ref.key}", lambda: self._s3.head(ref))).info

    async def delete(self, ref: ObjectRef) -> None:
        await self._ask(f"delete {ref.key}", lambda: self._s3.delete(ref), writes=True)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        return await self._ask(f"list {prefix}", lambda: self._s3.list(bucket, prefix, after, limit))

    async def _ask(self, what: str, do: Callable[[], T], *, writes: bool = False, again: bool = True) -> T:
        replica = self._replica
        hold = replica.world.referee.request(replica, what)
        replica.world.referee.record(replica.name, f"{what}   for {hold}")
        services = ("store", "store-writes") if writes else ("store",)
        return await self._network.ask(services, what, _STORE_S, do, again=again)


class _Receipts(Generic[T]):
    """Batches on receipts, entry by entry."""

    def __init__(self, replica: Replica, model: SqsModel[T]) -> None:
        self._replica = replica
        self._world = replica.world
        self._network = Network(replica)
        self._model = model

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        return await self._batch(
            [partial(self._model.extend, change.receipt, change.timeout_s) for change in changes],
            "extend " + ", ".join(f"{change.receipt} by {change.timeout_s}" for change in changes),
            ("queue", "beats"),
        )

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        return await self._batch(
            [partial(self._model.delete, receipt) for receipt in receipts],
            "delete " + ", ".join(receipts),
            ("queue",),
        )

    async def _batch(
        self, entries: Sequence[Callable[[], EntryResult]], what: str, services: tuple[str, ...]
    ) -> list[EntryResult]:
        if not 0 < len(entries) <= 10:
            self._world.referee.violated(f"a batch of {len(entries)}: {what}")
        self._world.referee.record(self._replica.name, what)
        results = await self._network.ask(services, what, _CONTROL_S, lambda: [self._entry(do) for do in entries])
        if any(result is not EntryResult.OK for result in results):
            self._world.referee.record(self._replica.name, f"        {', '.join(one.name for one in results)}")
        return results

    def _entry(self, do: Callable[[], EntryResult]) -> EntryResult:
        if self._world.faults.hit("failed-entry"):
            if self._world.random.random() < 0.3:
                do()
            return EntryResult.RETRY
        return do()


class SimQueue(_Receipts[ReceivedMessage]):
    """JobQueue of one replica over the world's SQS."""

    def __init__(self, replica: Replica, facts: QueueFacts) -> None:
        super().__init__(replica, replica.world.queue)
        self._facts = facts
        self._winding_up = False

    async def send(self, body: str) -> str:
        self._world.referee.record(self._replica.name, f"send {body}")
        return (await self._network.ask(("queue",), "send", _CONTROL_S, lambda: self._model.send(body))).id

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        if self._winding_up:
            return []
        if not 0 < max_messages <= 10:
            self._world.referee.violated(f"a receive of {max_messages}")
        self._world.referee.record(self._replica.name, f"receive up to {max_messages}")
        messages = await self._network.poll(self._model, max_messages, wait_s, visibility_timeout_s)
        for message in messages:
            self._world.referee.received(self._replica, message, visibility_timeout_s)
        arrived = ", ".join(f"{message.receipt} (receive {message.receive_count})" for message in messages)
        self._world.referee.record(self._replica.name, f"        received: {arrived or 'nothing'}")
        return messages

    def wind_up(self) -> None:
        self._winding_up = True

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        referee, sent_at = self._world.referee, self._replica.clock.monotonic()
        holds = referee.call(self._replica, [change.receipt for change in changes], "extend")
        for hold, change in zip(holds, changes, strict=True):
            referee.changing(hold, change.timeout_s)
        results = None
        try:
            results = await super().extend(changes)
            for hold, change, result in zip(holds, changes, results, strict=True):
                if result is EntryResult.OK and not hold.ended_by:
                    referee.beaten(hold, sent_at, change.timeout_s)
            return results
        finally:
            referee.answered(holds, results)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        referee = self._world.referee
        holds = referee.call(self._replica, receipts, "delete")
        for hold in holds:
            referee.ending(hold, "delete")
            self._world.check_delete(hold)
        results = None
        try:
            results = await super().delete(receipts)
            return results
        finally:
            referee.answered(holds, results)

    async def facts(self) -> QueueFacts:
        return self._facts

    async def counts(self) -> QueueCounts:
        return await self._network.ask(("queue",), "counts", _CONTROL_S, self._world.counts)


class SimDeadLetters(_Receipts[DeadLetter]):
    """DeadLetters of one replica over the world's second queue."""

    max_bytes = 1 << 18

    async def send(self, body: str, note: str) -> None:
        referee = self._world.referee
        hold = referee.request(self._replica, "send to the dead letters")
        referee.record(self._replica.name, f"bury {hold}: {note[:60]}")
        await self._network.ask(("queue",), "bury", _CONTROL_S, lambda: self._model.send(body, note))

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        return await self._network.poll(self._model, max_messages, wait_s, visibility_timeout_s)

    async def purge(self) -> None:
        raise NotImplementedError

    async def start_move(self, *, rate: int | None) -> str | None:
        raise NotImplementedError

    async def move_progress(self, handle: str) -> MoveProgress:
        raise NotImplementedError


def model_backend(replica: Replica) -> Backend:
    """Return the ports of one replica over the models."""
    world = replica.world
    dead = world.queue.dead
    return Backend(
        store=SimStore(replica),
        queue=SimQueue(replica, world.facts),
        bucket=BUCKET,
        dead_letters=None if dead is None else SimDeadLetters(replica, dead),
    )

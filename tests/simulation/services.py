"""S3 and SQS as the replicas of one world share them: the models, behind each replica's own network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

from simulation.model import S3Model, SqsModel, dead_letter, received
from simulation.network import Network
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendRefused, SendRefused
from thumbq.local.presigned import LocalPresignedUploads
from thumbq.ports import Backend, DeadLetter, EntryResult, QueueAttributes, QueueCounts, ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulation.model import StoredMessage
    from simulation.replica import Replica
    from simulation.world import World
    from thumbq.ports import ListedObject, MoveProgress, ObjectInfo, Sink, VisibilityChange

T = TypeVar("T")

BUCKET: Final = "images"

_STORE_S: Final = 30.0
_CONTROL_S: Final = 5.0
"""How long the adapters let a request hang."""


class Services(Protocol):
    """What the replicas of a world share, and what is true of it. Entered for the time of a run."""

    @property
    def bucket(self) -> str:
        """Where uploads go."""
        ...

    @property
    def place(self) -> str:
        """Where it all lies, if that is another place in every run; it has no place in a trace."""
        ...

    @property
    def attributes(self) -> QueueAttributes:
        """What the queue says of itself."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def backend(self, replica: Replica) -> Backend:
        """Return the ports of one replica."""
        ...

    def ended(self, replica: Replica, *, killed: bool) -> None:
        """Release what belongs to the process of a replica that has ended."""
        ...

    def set_wall_clock(self, replica: Replica, by_s: float) -> None:
        """Set a machine's wall clock forward or back."""
        ...

    def send(self, body: str) -> None:
        """Send a message from outside."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Store an original from outside."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return what is stored under a key."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Return the keys under a prefix."""
        ...

    def messages(self) -> list[str]:
        """Return the ids of the messages in the queue."""
        ...

    def letters(self) -> list[tuple[str, str | None]]:
        """Return the ids and notes of the dead letters."""
        ...

    def letter_bodies(self) -> list[str]:
        """Return what the dead letters asked for."""
        ...


class ModelServices:
    """S3 and SQS as models."""

    bucket = BUCKET
    place = "nowhere"

    def __init__(self, world: World) -> None:
        shape = world.shape
        self._loop = world.loop
        self.s3 = S3Model(world.loop)
        dead: SqsModel[DeadLetter] | None = None
        if shape.dead_letters:
            dead = SqsModel(world.loop, world.random, world.faults, "dead", dead_letter)
        self.queue: SqsModel[ReceivedMessage] = SqsModel(
            world.loop, world.random, world.faults, "m", received, shape.max_receive_count, dead
        )
        self._world = world
        self.s3.on_overwrite = self._overwritten
        self.queue.on_move = self._moved
        self.attributes = QueueAttributes("jobs", 30, None, shape.max_receive_count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def backend(self, replica: Replica) -> Backend:
        dead = self.queue.dead
        return Backend(
            store=_Store(replica, self.s3),
            queue=_Queue(replica, self),
            bucket=BUCKET,
            dead_letters=None if dead is None else _DeadLetters(replica, dead),
            presigned_uploads=LocalPresignedUploads(b"", replica.clock),
        )

    def ended(self, replica: Replica, *, killed: bool) -> None:
        pass

    def set_wall_clock(self, replica: Replica, by_s: float) -> None:
        replica.clock.wall_offset += by_s

    def send(self, body: str) -> None:
        self.queue.send(body)

    def put(self, key: str, body: bytes) -> None:
        self.s3.put(ObjectRef(BUCKET, key), body, "image/jpeg", None, if_absent=False)

    def read(self, key: str) -> bytes | None:
        found = self.s3.objects.get((BUCKET, key))
        return None if found is None else found.body

    def keys(self, prefix: str) -> list[str]:
        return [key for _, key in self.s3.objects if key.startswith(prefix)]

    def messages(self) -> list[str]:
        return [message.id for message in self.queue.messages]

    def letters(self) -> list[tuple[str, str | None]]:
        return [] if self.queue.dead is None else [(one.id, one.note) for one in self.queue.dead.messages]

    def letter_bodies(self) -> list[str]:
        return [] if self.queue.dead is None else [one.body for one in self.queue.dead.messages]

    def counts(self) -> QueueCounts:
        """Count the messages, as SQS does when it is exact."""
        now, dead = self._loop.now, self.queue.dead
        visible = sum(message.visible_at <= now for message in self.queue.messages)
        return QueueCounts(visible, len(self.queue.messages) - visible, 0, 0 if dead is None else len(dead.messages))

    def _overwritten(self, key: str, old: bytes, new: bytes) -> None:
        self._world.ledger.check_overwrite(key, old, new)

    def _moved(self, message: StoredMessage) -> None:
        self._world.faults.note("moved-silently")
        self._world.ledger.moved_at[message.id] = self._loop.now
        self._world.referee.record("queue", f"moved {message.id} to the dead letters")


class _Store:
    """ObjectStore of one replica."""

    def __init__(self, replica: Replica, s3: S3Model) -> None:
        self._network = Network(replica)
        self._s3 = s3

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        return await self._ask(
            f"put {ref.key}",
            lambda: self._s3.put(ref, body, content_type, metadata, if_absent=if_absent),
            writes=True,
            again=not if_absent,
        )

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
        services = ("store", "store-writes") if writes else ("store",)
        return await self._network.ask(services, what, _STORE_S, do, again=again)


class _Receipts(Generic[T]):
    """Batches on receipts, entry by entry."""

    def __init__(self, replica: Replica, model: SqsModel[T]) -> None:
        self._world = replica.world
        self._network = Network(replica)
        self._model = model

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        entries = [partial(self._model.extend, change.receipt, change.timeout_s) for change in changes]
        return await self._batch(entries, "extend", ("queue", "beats"))

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        return await self._batch([partial(self._model.delete, receipt) for receipt in receipts], "delete", ("queue",))

    async def _batch(
        self, entries: Sequence[Callable[[], EntryResult]], what: str, services: tuple[str, ...]
    ) -> list[EntryResult]:
        if not 0 < len(entries) <= 10:
            self._world.referee.violated(f"{what} with {len(entries)} entries")
        return await self._network.ask(services, what, _CONTROL_S, lambda: [self._entry(do) for do in entries])

    def _entry(self, do: Callable[[], EntryResult]) -> EntryResult:
        if self._world.faults.hit("failed-entry"):
            if self._world.random.random() < 0.3:
                do()
            return EntryResult.RETRY
        return do()


class _Queue(_Receipts[ReceivedMessage]):
    """JobQueue of one replica."""

    def __init__(self, replica: Replica, services: ModelServices) -> None:
        super().__init__(replica, services.queue)
        self._services = services
        self._stopping = False

    async def send(self, body: str, *, group: str | None = None) -> str:  # noqa: ARG002 - the port's
        try:
            return (await self._network.ask(("queue",), "send", _CONTROL_S, lambda: self._model.send(body))).id
        except BackendRefused as error:
            raise SendRefused(str(error)) from error

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        if self._stopping:
            return []
        return await self._network.poll(self._model, max_messages, wait_s, visibility_timeout_s)

    def stop_receiving(self) -> None:
        self._stopping = True

    async def attributes(self) -> QueueAttributes:
        return self._services.attributes

    async def counts(self) -> QueueCounts:
        return await self._network.ask(("queue",), "counts", _CONTROL_S, self._services.counts)


class _DeadLetters(_Receipts[DeadLetter]):
    """DeadLetters of one replica."""

    max_bytes = 1 << 18

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:  # noqa: ARG002 - the port's
        await self._network.ask(("queue",), "bury", _CONTROL_S, lambda: self._model.send(body, note))

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        return await self._network.poll(self._model, max_messages, wait_s, visibility_timeout_s)

    async def purge(self) -> None:
        raise NotImplementedError

    async def start_move(self, *, rate: int | None) -> str | None:
        raise NotImplementedError

    async def move_progress(self, handle: str) -> MoveProgress:
        raise NotImplementedError

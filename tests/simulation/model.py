"""What S3 and SQS are allowed to do, as far as thumbq can see it: objects, messages, receipts, and nothing of time.

Everything happens at once here, at the moment that ``now`` says; how requests get here is the network's matter.
Sources: Amazon SQS Developer Guide ("Visibility timeout", "At-least-once delivery"), and what was measured.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from thumbq.errors import AccessDenied, ObjectArchived, ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.ports import MAX_LEASE_S, DeadLetter, EntryResult, ListedObject, ObjectInfo, ReceivedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from simulation.faults import Faults
    from simulation.virtualloop import VirtualLoop
    from thumbq.core.job import ObjectRef

T = TypeVar("T")

MAGIC: Final = b"\xff\xd8\xff"

EPOCH: Final = 1_800_000_000.0
"""The world's wall time at its beginning."""


def kind_of(body: bytes) -> str:
    """Return the kind of an upload, which says what becomes of it; empty for what is none."""
    return body.removeprefix(MAGIC).split()[0].decode() if body.startswith(MAGIC) else ""


@dataclass(frozen=True, slots=True)
class StoredObject:
    body: bytes
    info: ObjectInfo
    stored_at: float


class S3Model:
    """Objects of one bucket and more, whole or not at all."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.on_overwrite: Callable[[str, bytes, bytes], None] = lambda _key, _old, _new: None

    def put(
        self, ref: ObjectRef, body: bytes, content_type: str, metadata: Mapping[str, str] | None, *, if_absent: bool
    ) -> str:
        where = (ref.bucket, ref.key)
        if if_absent and where in self.objects:
            raise ObjectExists(str(ref))
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        info = ObjectInfo(len(body), etag, content_type, dict(metadata or {}))
        if (old := self.objects.get(where)) is not None:
            self.on_overwrite(ref.key, old.body, body)
        self.objects[where] = StoredObject(body, info, EPOCH + self._loop.now)
        return etag

    def get(self, ref: ObjectRef, max_bytes: int) -> StoredObject:
        found = self.head(ref)
        self._check_may_read(ref, found.body)
        if len(found.body) > max_bytes:
            raise ObjectTooLarge(str(ref), len(found.body))
        return found

    def _check_may_read(self, ref: ObjectRef, body: bytes) -> None:
        """Refuse the originals that are of such a kind, one by one."""
        kind = kind_of(body)
        if kind == "denied":
            raise AccessDenied(f"get {ref}: AccessDenied")
        if kind == "archived":
            raise ObjectArchived(f"get {ref}: InvalidObjectState")

    def head(self, ref: ObjectRef) -> StoredObject:
        found = self.objects.get((ref.bucket, ref.key))
        if found is None:
            raise ObjectMissing(str(ref))
        return found

    def delete(self, ref: ObjectRef) -> None:
        self.objects.pop((ref.bucket, ref.key), None)

    def list(self, bucket: str, prefix: str, after: str, limit: int) -> list[ListedObject]:
        keys = sorted(
            (key for where, key in self.objects if where == bucket and key.startswith(prefix)), key=str.encode
        )
        found = [key for key in keys if key.encode() > after.encode()][:limit]
        return [
            ListedObject(key, len(self.objects[bucket, key].body), self.objects[bucket, key].stored_at) for key in found
        ]


@dataclass(eq=False, slots=True)
class StoredMessage:
    id: str
    body: str
    note: str | None
    sent_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str | None = None
    received_at: float = 0.0
    deleted: bool = False


@dataclass(eq=False, slots=True)
class _Poller(Generic[T]):
    max_messages: int
    visibility_timeout_s: int
    answer: Callable[[list[T]], None]


@dataclass(eq=False, slots=True)
class SqsModel(Generic[T]):
    """A standard queue. What it hands out, in which order and how often, is up to chance and ``faults``."""

    loop: VirtualLoop
    random: Random
    faults: Faults
    name: str
    as_received: Callable[[StoredMessage], T]
    max_receive_count: int | None = None
    dead: SqsModel[DeadLetter] | None = None
    messages: list[StoredMessage] = field(default_factory=list)
    receipts: dict[str, StoredMessage] = field(default_factory=dict)
    on_move: Callable[[StoredMessage], None] = lambda _: None
    _pollers: list[_Poller[T]] = field(default_factory=list)
    _serial: int = 0
    _looks_at: float = math.inf

    def send(self, body: str, note: str | None = None) -> StoredMessage:
        self._serial += 1
        now = self.loop.now
        message = StoredMessage(f"{self.name}-{self._serial}", body, note, EPOCH + now, now)
        self.take_over(message)
        return message

    def take_over(self, message: StoredMessage) -> None:
        """Put a message into the queue as it is."""
        self.messages.append(message)
        self._look()

    def poll(self, max_messages: int, wait_s: float, timeout_s: int, answer: Callable[[list[T]], None]) -> None:
        """Answer with messages once there are some, or with none after ``wait_s``."""
        poller = _Poller(max_messages, timeout_s, answer)
        self._pollers.append(poller)
        self._look()
        if poller in self._pollers:
            self.loop.world_later(wait_s, self._end, poller)

    def _end(self, poller: _Poller[T]) -> None:
        if poller in self._pollers:
            self._pollers.remove(poller)
            poller.answer([])

    def _look(self) -> None:
        while self._pollers and (visible := [one for one in self.messages if one.visible_at <= self.loop.now]):
            poller = self._pollers.pop(self.random.randrange(len(self._pollers)))
            if self.faults.hit("empty-receive"):
                poller.answer([])
            elif taken := self._take(visible, poller):
                poller.answer(taken)
            else:
                self._pollers.append(poller)
        if self._pollers and self.messages:
            self._look_at(min(one.visible_at for one in self.messages))

    def _look_at(self, when: float) -> None:
        if self.loop.now < self._looks_at <= when:
            return
        self._looks_at = when
        self.loop.world_later(when - self.loop.now, self._look)

    def _take(self, visible: list[StoredMessage], poller: _Poller[T]) -> list[T]:
        if self.faults.hit("reordering"):
            self.random.shuffle(visible)
        if self.faults.hit("short-answer"):
            visible = visible[: self.random.randint(1, 3)]
        taken: list[T] = []
        for message in visible:
            if len(taken) == poller.max_messages:
                break
            if self.max_receive_count is not None and message.receive_count >= self.max_receive_count:
                self._move(message)
                continue
            taken.append(self._hand_out(message, poller.visibility_timeout_s))
        return taken

    def _hand_out(self, message: StoredMessage, timeout_s: int) -> T:
        self._serial += 1
        message.receipt = f"{message.id}#{self._serial}"
        self.receipts[message.receipt] = message
        message.receive_count += 1
        message.received_at = self.loop.now
        message.visible_at = self.loop.now + timeout_s
        if self.faults.hit("delivered-twice"):
            message.visible_at = self.loop.now + self.random.choice([0.0, self.random.random(), timeout_s / 2])
        return self.as_received(message)

    def _move(self, message: StoredMessage) -> None:
        """Redrive: the message becomes a dead letter and nobody is told."""
        self.messages.remove(message)
        message.deleted = True
        if self.dead is not None:
            moved = replace(message, deleted=False, visible_at=self.loop.now)
            self.loop.world_later(0, self.dead.take_over, moved)
        self.on_move(message)

    def extend(self, receipt: str, timeout_s: int) -> EntryResult:
        message = self.receipts[receipt]
        if message.deleted:
            return EntryResult.LOST
        if message.receipt != receipt or message.visible_at <= self.loop.now:
            answer = self.random.random()
            if answer < 0.4:
                return EntryResult.LOST
            if answer < 0.8:
                return EntryResult.OK
        if self.loop.now - message.received_at + timeout_s > MAX_LEASE_S:
            return EntryResult.CAPPED
        message.visible_at = self.loop.now + timeout_s
        self._look()
        return EntryResult.OK

    def delete(self, receipt: str) -> EntryResult:
        message = self.receipts[receipt]
        if not message.deleted and (message.receipt == receipt or self.random.random() < 0.5):
            self.messages.remove(message)
            message.deleted = True
            if self.faults.hit("deleted-comes-back"):
                self.loop.world_later(self.random.uniform(0, 20), self._come_back, message)
        return EntryResult.OK

    def _come_back(self, message: StoredMessage) -> None:
        """Deliver a deleted message once more: the server that held a copy was away during the delete."""
        message.deleted = False
        message.visible_at = self.loop.now
        self.messages.append(message)
        self._look()


def received(message: StoredMessage) -> ReceivedMessage:
    assert message.receipt is not None
    return ReceivedMessage(message.id, message.receipt, message.body, message.receive_count, message.sent_at)


def dead_letter(message: StoredMessage) -> DeadLetter:
    assert message.receipt is not None
    moved, receives = message.note is None, message.receive_count
    return DeadLetter(message.id, message.receipt, message.body, message.note, message.sent_at, receives, moved=moved)

"""The ports of one replica as its code sees them: every request goes by the referee and into the trace first."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.errors import BackendError, BackendUnavailable, ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.ports import Backend, EntryResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulation.replica import Replica
    from thumbq.core.job import ObjectRef
    from thumbq.ports import (
        DeadLetter,
        DeadLetters,
        JobQueue,
        ListedObject,
        MoveProgress,
        ObjectInfo,
        ObjectStore,
        QueueAttributes,
        QueueCounts,
        ReceivedMessage,
        Sink,
        VisibilityChange,
    )

OVER_S = 1e6
"""How long a call on a receipt hangs once the run is over; its lease ends before."""


@dataclass(slots=True)
class _Watch:
    """What all ports of a replica have in common."""

    replica: Replica

    @contextmanager
    def request(self, what: str) -> Iterator[None]:
        """Stand around one request; one that fails or is cut off may have been carried out all the same, or late."""
        world = self.replica.world
        world.referee.record(self.replica.name, what)
        sent_at = world.loop.now
        try:
            yield
            if world.loop.now - sent_at > LATE_S:
                world.ledger.unsure.add(what)
                world.ledger.late.add(what)
        except (BackendError, asyncio.CancelledError) as error:
            # anyio writes addresses into the text of a cancellation, which differ from run to run.
            text = (
                "cut off" if isinstance(error, asyncio.CancelledError) else str(error).replace(world.services.place, "")
            )
            if not isinstance(error, ObjectMissing | ObjectExists | ObjectTooLarge):
                world.ledger.unsure.add(what)
                if isinstance(error, asyncio.CancelledError) or world.loop.now - sent_at > LATE_S:
                    world.ledger.late.add(what)
                world.referee.failed(self.replica, what)
            world.referee.record(self.replica.name, f"        {what}: {text}")
            raise

    def check_store(self) -> None:
        """Have nothing answered any more once the run is over, so that all tasks come to their ends."""
        if self.replica.world.over:
            raise BackendUnavailable("the run is over")

    async def check_queue(self) -> None:
        """Do the same; what waits for an answer on a receipt waits until its lease has ended."""
        if self.replica.world.over:
            await asyncio.sleep(OVER_S)
            raise BackendUnavailable("the run is over")


LATE_S = 5.0
"""What took longer may have been carried out after others have acted on what was there before."""


class WatchedStore:
    """An ObjectStore."""

    def __init__(self, replica: Replica, store: ObjectStore) -> None:
        self._watch = _Watch(replica)
        self._store = store
        self._world = replica.world
        self._replica = replica

    async def put(
        self,
        ref: ObjectRef,
        body: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> str:
        with self._request(f"put {ref.key}"):
            if ref.key.startswith(keys.CRASH_RECORDS_PREFIX) and ref.key != keys.PROBE_KEY:
                self._world.ledger.note_record(ref.key, self._world.referee.about(self._replica))
            etag = await self._store.put(ref, body, content_type=content_type, metadata=metadata, if_absent=if_absent)
            if ref.key.startswith(keys.MANIFESTS_PREFIX):
                self._world.ledger.note_manifest(ref.key, body)
            return etag

    async def get(self, ref: ObjectRef, *, max_bytes: int) -> tuple[ObjectInfo, bytes]:
        with self._request(f"get {ref.key}"):
            return await self._store.get(ref, max_bytes=max_bytes)

    async def fetch(self, ref: ObjectRef, sink: Sink, *, max_bytes: int) -> ObjectInfo:
        with self._request(f"fetch {ref.key}"):
            return await self._store.fetch(ref, sink, max_bytes=max_bytes)

    async def head(self, ref: ObjectRef) -> ObjectInfo:
        with self._request(f"head {ref.key}"):
            return await self._store.head(ref)

    async def delete(self, ref: ObjectRef) -> None:
        with self._request(f"delete {ref.key}"):
            await self._store.delete(ref)

    async def list(self, bucket: str, *, prefix: str, after: str = "", limit: int = 1000) -> Sequence[ListedObject]:
        with self._request(f"list {prefix}"):
            return await self._store.list(bucket, prefix=prefix, after=after, limit=limit)

    @contextmanager
    def _request(self, what: str) -> Iterator[None]:
        self._watch.check_store()
        # A probe is for all messages, whichever has the next job to wait for it.
        probe = what.endswith(keys.PROBE_KEY)
        hold = None if probe else self._world.referee.request(self._replica, what)
        if hold is not None:
            self._world.referee.record(self._replica.name, f"for {hold}:")
        try:
            with self._watch.request(what):
                yield
            if what == f"delete {keys.PROBE_KEY}":
                self._replica.store_away = False
        except ObjectMissing:
            raise
        except BackendError:
            self._replica.store_away = self._replica.store_away or probe
            raise
        finally:
            if hold is not None:
                hold.busy_until = self._world.loop.now


class WatchedQueue:
    """A JobQueue."""

    def __init__(self, replica: Replica, queue: JobQueue) -> None:
        self._watch = _Watch(replica)
        self._queue = queue
        self._replica = replica
        self._referee = replica.world.referee

    async def send(self, body: str, *, group: str | None = None) -> str:
        self._watch.check_store()
        with self._watch.request(f"send {body}"):
            return await self._queue.send(body, group=group)

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[ReceivedMessage]:
        await self._watch.check_queue()
        if not 0 < max_messages <= 10:
            self._referee.violated(f"a receive of {max_messages}")
        if self._replica.store_away:
            self._referee.violated(f"received though the probe of {self._replica.name} has failed")
        with self._watch.request(f"receive up to {max_messages}"):
            messages = await self._queue.receive(
                max_messages=max_messages, wait_s=wait_s, visibility_timeout_s=visibility_timeout_s
            )
        for message in messages:
            self._referee.received(self._replica, message, visibility_timeout_s)
        arrived = ", ".join(f"{message.receipt} (receive {message.receive_count})" for message in messages)
        self._referee.record(self._replica.name, f"        received: {arrived or 'nothing'}")
        return messages

    def stop_receiving(self) -> None:
        self._queue.stop_receiving()

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        await self._watch.check_queue()
        sent_at = self._replica.clock.monotonic()
        what = "extend " + ", ".join(f"{change.receipt} by {change.timeout_s}" for change in changes)
        results: Sequence[EntryResult] | None = None
        holds = self._referee.call(self._replica, [change.receipt for change in changes], "extend")
        try:
            for hold, change in zip(holds, changes, strict=True):
                self._referee.changing(hold, change.timeout_s)
            with self._watch.request(what):
                results = await self._queue.extend(changes)
            for hold, change, result in zip(holds, changes, results, strict=True):
                if result is EntryResult.OK and not hold.ended_by:
                    self._referee.beaten(hold, sent_at, change.timeout_s)
        finally:
            self._referee.answered(holds, results)
        self._note(results)
        return results

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        await self._watch.check_queue()
        results: Sequence[EntryResult] | None = None
        holds = self._referee.call(self._replica, receipts, "delete")
        try:
            for hold in holds:
                self._referee.ending(hold, "delete")
                self._replica.world.ledger.check_delete(hold)
            with self._watch.request("delete " + ", ".join(receipts)):
                results = await self._queue.delete(receipts)
        finally:
            for hold in holds:
                hold.busy_until = self._replica.world.loop.now  # until then it may have come late
            self._referee.answered(holds, results)
        self._note(results)
        return results

    def _note(self, results: Sequence[EntryResult]) -> None:
        if any(result is not EntryResult.OK for result in results):
            self._referee.record(self._replica.name, f"        {', '.join(one.name for one in results)}")

    async def attributes(self) -> QueueAttributes:
        return await self._queue.attributes()

    async def counts(self) -> QueueCounts:
        self._watch.check_store()
        with self._watch.request("counts"):
            return await self._queue.counts()


class WatchedDeadLetters:
    """A DeadLetters."""

    def __init__(self, replica: Replica, dead_letters: DeadLetters) -> None:
        self._watch = _Watch(replica)
        self._dead_letters = dead_letters
        self._replica = replica

    @property
    def max_bytes(self) -> int:
        return self._dead_letters.max_bytes

    async def send(self, body: str, note: str, *, group: str | None = None) -> None:
        self._watch.check_store()
        hold = self._replica.world.referee.request(self._replica, "bury")
        with self._watch.request(f"bury {hold}: {note[:60]}"):
            await self._dead_letters.send(body, note, group=group)

    async def receive(self, *, max_messages: int, wait_s: int, visibility_timeout_s: int) -> Sequence[DeadLetter]:
        await self._watch.check_queue()
        with self._watch.request("look at dead letters"):
            return await self._dead_letters.receive(
                max_messages=max_messages, wait_s=wait_s, visibility_timeout_s=visibility_timeout_s
            )

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        await self._watch.check_queue()
        with self._watch.request("give dead letters back"):
            return await self._dead_letters.extend(changes)

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        await self._watch.check_queue()
        with self._watch.request("delete dead letters " + ", ".join(receipts)):
            return await self._dead_letters.delete(receipts)

    async def purge(self) -> None:
        await self._dead_letters.purge()

    async def start_move(self, *, rate: int | None) -> str | None:
        return await self._dead_letters.start_move(rate=rate)

    async def move_progress(self, handle: str) -> MoveProgress:
        return await self._dead_letters.move_progress(handle)


def watched(replica: Replica, backend: Backend) -> Backend:
    """Return a backend that the referee watches."""
    dead = backend.dead_letters
    return replace(
        backend,
        store=WatchedStore(replica, backend.store),
        queue=WatchedQueue(replica, backend.queue),
        dead_letters=None if dead is None else WatchedDeadLetters(replica, dead),
    )

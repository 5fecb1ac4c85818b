"""Pausing queues: the store says which are paused, so that every replica knows it, and each that starts later."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.pause import PauseRecord
from thumbq.errors import ObjectExists, ObjectMissing, ObjectTooLarge
from thumbq.records import write_record

if TYPE_CHECKING:
    from thumbq.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue is paused: ``since`` when, in POSIX seconds; None when the record cannot be read."""

    since: float | None


async def read_pause(store: ObjectStore, bucket: str, queue: str) -> Pause | None:
    """Return the pause of a queue, by its name for people; None when it is not paused.

    A record that cannot be read pauses the queue all the same: somebody has put it there.
    """
    try:
        _, raw = await store.get(_ref(bucket, queue), max_bytes=PauseRecord.MAX_BYTES)
    except ObjectMissing:
        return None
    except ObjectTooLarge:
        return Pause(None)
    record = PauseRecord.decode(raw)
    return Pause(None if record is None else record.since)


async def pause(store: ObjectStore, bucket: str, queue: str, *, now: float) -> Pause:
    """Pause a queue, unless it is paused already; ``now`` is in POSIX seconds. Return the pause that stands."""
    with suppress(ObjectExists):
        await write_record(store, _ref(bucket, queue), PauseRecord(since=now), if_absent=True)
        return Pause(now)
    # Where it was resumed in between, it is paused by nobody; the caller sees the time at which it was.
    return await read_pause(store, bucket, queue) or Pause(None)


async def resume(store: ObjectStore, bucket: str, queue: str) -> Pause | None:
    """End the pause of a queue, and return it; None when it was not paused."""
    ended = await read_pause(store, bucket, queue)
    await store.delete(_ref(bucket, queue))
    return ended


def _ref(bucket: str, queue: str) -> ObjectRef:
    return ObjectRef(bucket, keys.pause_key(queue))

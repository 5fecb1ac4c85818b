"""Reading and writing of stored records."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from thumbq.errors import ObjectMissing, ObjectTooLarge

if TYPE_CHECKING:
    from thumbq.core.job import ObjectRef
    from thumbq.core.record import StoredRecord
    from thumbq.ports import ObjectStore

R = TypeVar("R", bound="StoredRecord")


async def read_record(store: ObjectStore, ref: ObjectRef, kind: type[R]) -> R | None:
    """Return the record at ``ref``; None when there is none that this program can read."""
    record, _ = await read_record_and_size(store, ref, kind)
    return record


async def read_record_and_size(store: ObjectStore, ref: ObjectRef, kind: type[R]) -> tuple[R | None, int]:
    """Return the record at ``ref`` and its size in bytes; None and 0 when there is none that this program can read."""
    try:
        _, raw = await store.get(ref, max_bytes=kind.MAX_BYTES)
    except (ObjectMissing, ObjectTooLarge):
        return None, 0
    return kind.decode(raw), len(raw)


async def write_record(store: ObjectStore, ref: ObjectRef, record: StoredRecord, *, if_absent: bool = False) -> None:
    """Store a record, in place of one that is there. With ``if_absent`` that raises ObjectExists."""
    await store.put(ref, record.encode(), content_type="application/json", if_absent=if_absent)

"""The index of objects, as plain functions over a connection: which file holds what is under a key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.errors import ObjectExists
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from thumbq.core.job import ObjectRef


@dataclass(frozen=True, slots=True)
class Entry:
    """An object: the name of the file with its bytes, and what is known of it."""

    blob: str
    info: ObjectInfo


def find(connection: sqlite3.Connection, ref: ObjectRef) -> Entry | None:
    """Return the object under a key."""
    row = connection.execute(
        "SELECT blob, size, etag, content_type, metadata FROM objects WHERE bucket = ? AND key = ?",
        (ref.bucket, ref.key),
    ).fetchone()
    if row is None:
        return None
    blob, size, etag, content_type, metadata = row
    return Entry(blob, ObjectInfo(size, etag, content_type, json.loads(metadata)))


def insert(connection: sqlite3.Connection, ref: ObjectRef, entry: Entry, *, if_absent: bool) -> str | None:
    """Put an object under a key and return the file that it replaces. Raises ObjectExists."""
    before = find(connection, ref)
    if before is not None and if_absent:
        raise ObjectExists(f"there is an object already: {ref}")
    info = entry.info
    connection.execute(
        "INSERT OR REPLACE INTO objects (bucket, key, blob, size, etag, content_type, metadata)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ref.bucket, ref.key, entry.blob, info.size, info.etag, info.content_type, json.dumps(dict(info.metadata))),
    )
    return None if before is None else before.blob


def remove(connection: sqlite3.Connection, ref: ObjectRef) -> str | None:
    """Remove what is under a key and return the file that held it."""
    before = find(connection, ref)
    connection.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (ref.bucket, ref.key))
    return None if before is None else before.blob


def without_object(connection: sqlite3.Connection, blobs: Iterable[str]) -> list[str]:
    """Return those of the files that no object names."""
    named = "SELECT 1 FROM objects WHERE blob = ?"
    return [blob for blob in blobs if connection.execute(named, (blob,)).fetchone() is None]

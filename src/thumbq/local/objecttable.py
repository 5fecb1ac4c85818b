"""The table of objects, as plain functions over a connection: key, file and metadata of each object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from thumbq.errors import ObjectExists
from thumbq.ports import ListedObject, ObjectInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from thumbq.core.job import ObjectRef


@dataclass(frozen=True, slots=True)
class Entry:
    """An object: the name of the file with its bytes, and its attributes."""

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


def insert(connection: sqlite3.Connection, ref: ObjectRef, entry: Entry, *, if_absent: bool, now: float) -> str | None:
    """Put an object under a key and return the file that it replaces. Raises ObjectExists."""
    before = find(connection, ref)
    if before is not None and if_absent:
        raise ObjectExists(f"there is an object already: {ref}")
    info = entry.info
    connection.execute(
        "INSERT OR REPLACE INTO objects (bucket, key, blob, size, etag, content_type, metadata, modified_at)"
        " VALUES (:bucket, :key, :blob, :size, :etag, :content_type, :metadata, :now)",
        {
            "bucket": ref.bucket,
            "key": ref.key,
            "blob": entry.blob,
            "size": info.size,
            "etag": info.etag,
            "content_type": info.content_type,
            "metadata": json.dumps(dict(info.metadata)),
            "now": now,
        },
    )
    return None if before is None else before.blob


def remove(connection: sqlite3.Connection, ref: ObjectRef) -> str | None:
    """Remove the object under a key and return the name of its file; None when there is no such object."""
    before = find(connection, ref)
    connection.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (ref.bucket, ref.key))
    return None if before is None else before.blob


def page(connection: sqlite3.Connection, bucket: str, *, prefix: str, after: str, limit: int) -> list[ListedObject]:
    """Return the next objects under a prefix, in the order of their keys' UTF-8 bytes (which is SQLite's own)."""
    rows = connection.execute(
        "SELECT key, size, modified_at FROM objects"
        " WHERE bucket = :bucket AND key >= :start AND key <> :after ORDER BY key LIMIT :limit",
        {"bucket": bucket, "start": max(prefix, after), "after": after, "limit": limit},
    )
    listed = (ListedObject(key, size, modified_at) for key, size, modified_at in rows)
    # Keys with a prefix stand together: the first without it is the end.
    return list(takewhile(lambda entry: entry.key.startswith(prefix), listed))


@dataclass(frozen=True, slots=True)
class Named:
    """An object's key, and the name of its file."""

    key: str
    blob: str


@dataclass(frozen=True, slots=True)
class Aged:
    """Those objects of a page that are old; ``last`` is its last key, None at the end."""

    old: list[Named]
    last: str | None


def aged(connection: sqlite3.Connection, *, bucket: str, prefix: str, after: str, limit: int, before: float) -> Aged:
    """Look through the next objects under a prefix for those that were stored before this time."""
    rows = connection.execute(
        "SELECT key, blob, modified_at FROM objects"
        " WHERE bucket = :bucket AND key >= :start AND key <> :after ORDER BY key LIMIT :limit",
        {"bucket": bucket, "start": max(prefix, after), "after": after, "limit": limit},
    )
    found = list(takewhile(lambda row: row[0].startswith(prefix), rows))
    return Aged([Named(key, blob) for key, blob, at in found if at < before], found[-1][0] if found else None)


def remove_these(connection: sqlite3.Connection, *, bucket: str, named: Iterable[Named]) -> list[str]:
    """Remove those objects that have these files still, and return the names of the files."""
    statement = "DELETE FROM objects WHERE bucket = ? AND key = ? AND blob = ?"
    return [one.blob for one in named if connection.execute(statement, (bucket, one.key, one.blob)).rowcount]


def without_object(connection: sqlite3.Connection, blobs: Iterable[str]) -> list[str]:
    """Return the names of the files that belong to no object."""
    named = "SELECT 1 FROM objects WHERE blob = ?"
    return [blob for blob in blobs if connection.execute(named, (blob,)).fetchone() is None]


def blobs_in(connection: sqlite3.Connection, folder: str) -> set[str]:
    """Return the names of all files that objects have in a folder: those that begin with its name."""
    rows = connection.execute("SELECT blob FROM objects WHERE blob >= ? AND blob < ?", (folder, f"{folder}g"))
    return {blob for (blob,) in rows}

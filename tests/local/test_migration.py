"""A directory that an older thumbq wrote: what is in it stays, and both of them can still use it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import SetupError
from thumbq.local import open_local_queues, schema
from thumbq.ports import EntryResult, ListedObject, ObjectInfo, QueueCounts, VisibilityChange

if TYPE_CHECKING:
    from pathlib import Path

VERSION_1 = """
CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    blob TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at REAL NOT NULL,
    visible_at REAL NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    received_at REAL,
    receipt TEXT
);
CREATE INDEX messages_by_visibility ON messages (visible_at);
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    note TEXT,
    sent_at REAL NOT NULL,
    buried_at REAL NOT NULL,
    receive_count INTEGER NOT NULL
);
PRAGMA application_id = 1953000802;
PRAGMA user_version = 1;
"""
TO_VERSION_2 = """
ALTER TABLE objects ADD COLUMN modified_at REAL NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN visible_at REAL NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN received_at REAL;
ALTER TABLE dead_letters ADD COLUMN receipt TEXT;
CREATE INDEX dead_letters_by_visibility ON dead_letters (visible_at);
PRAGMA user_version = 2;
"""
TO_VERSION_3 = """
ALTER TABLE messages ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN group_id TEXT;
ALTER TABLE dead_letters ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN group_id TEXT;
DROP INDEX messages_by_visibility;
DROP INDEX dead_letters_by_visibility;
CREATE INDEX messages_by_visibility ON messages (queue, visible_at, group_id);
CREATE INDEX messages_in_order ON messages (queue, seq, visible_at, group_id);
CREATE INDEX dead_letters_by_visibility ON dead_letters (queue, visible_at);
PRAGMA user_version = 3;
"""
BLOB = "0123456789abcdef" * 2
OBJECT = f"""INSERT INTO objects (bucket, key, blob, size, etag, content_type, metadata)
    VALUES ('local', 'kept', '{BLOB}', 4, 'e', 'text/plain', '{{}}')"""
MESSAGE = "INSERT INTO messages (id, body, sent_at, visible_at) VALUES ('m', 'waits', 1, 1)"
BURIED = """INSERT INTO dead_letters (id, body, note, sent_at, buried_at, receive_count)
    VALUES ('d', 'buried', '{"code": "x"}', 2, 2, 0)"""
MOVED = """INSERT INTO dead_letters (id, body, note, sent_at, buried_at, receive_count)
    VALUES ('p', 'poison', NULL, 3, 4, 10)"""


STATEMENTS = {
    1: VERSION_1,
    2: VERSION_1 + TO_VERSION_2,
    3: VERSION_1 + TO_VERSION_2 + TO_VERSION_3,
}
"""How each older version made its tables."""


def test_the_last_two_versions_are_among_those_that_are_read_here() -> None:
    assert {schema.SCHEMA_VERSION - 1, schema.SCHEMA_VERSION - 2} <= STATEMENTS.keys()


@pytest.fixture(params=STATEMENTS, ids="version {}".format)
def old_version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def old(directory: Path, old_version: int) -> Path:
    """Return a directory of an old version with an object, a message and two dead letters."""
    directory.mkdir()
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as connection:
        connection.executescript(STATEMENTS[old_version])
        for statement in (OBJECT, MESSAGE, BURIED, MOVED):
            connection.execute(statement)
        connection.commit()
    folder = directory / "objects" / BLOB[:2]
    folder.mkdir(parents=True)
    (folder / BLOB).write_bytes(b"kept")
    return directory


def version(directory: Path) -> int:
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


def tables(directory: Path) -> list[tuple[str, ...]]:
    """Return name, type, not null, default and place in the primary key of every column, and the columns of indexes."""
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
        columns = [(name, *column[1:]) for name in names for column in connection.execute(f"PRAGMA table_info({name})")]
        indexed = [
            (name, place, column)
            for name in names
            for place, _, column in connection.execute(f"PRAGMA index_info({name})")
        ]
        return [(name,) for name in names] + sorted(columns) + indexed


async def test_everything_that_was_there_is_there_afterwards(old: Path) -> None:
    async with open_local(old, clock=SystemClock()) as backend:
        assert backend.dead_letters is not None
        assert await backend.store.get(ObjectRef("local", "kept"), max_bytes=9) == (
            ObjectInfo(4, "e", "text/plain", {}),
            b"kept",
        )
        assert await backend.store.list("local", prefix="") == [ListedObject("kept", 4, 0)]
        assert await backend.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=2)
        [message] = await backend.queue.receive(max_messages=9, wait_s=0, visibility_timeout_s=9)
        assert (message.id, message.body) == ("m", "waits")
        letters = await backend.dead_letters.receive(max_messages=9, wait_s=0, visibility_timeout_s=9)
        assert [(letter.id, letter.body, letter.note, letter.sent_at) for letter in letters] == [
            ("d", "buried", '{"code": "x"}', 2),
            ("p", "poison", None, 3),
        ]
        assert await backend.dead_letters.extend([VisibilityChange(letters[0].receipt, 0)]) == [EntryResult.OK]
        assert await backend.dead_letters.delete([letters[1].receipt]) == [EntryResult.OK]
    assert version(old) == schema.SCHEMA_VERSION


async def test_a_migrated_database_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    for directory in (old, tmp_path / "new"):
        async with open_local(directory, clock=SystemClock()):
            pass
    assert tables(old) == tables(tmp_path / "new")


async def test_many_that_open_an_old_directory_at_once_migrate_it_once(old: Path) -> None:
    async def use(number: int) -> None:
        async with open_local(old, clock=SystemClock()) as backend:
            await backend.queue.send(f"{number}")

    await asyncio.gather(*(use(number) for number in range(8)))
    async with open_local(old, clock=SystemClock()) as backend:
        assert await backend.queue.counts() == QueueCounts(visible=9, in_flight=0, delayed=0, dead=2)


async def test_what_an_old_thumbq_still_running_writes_is_understood(old: Path) -> None:
    async with open_local(old, clock=SystemClock()) as backend:
        assert backend.dead_letters is not None
        with closing(sqlite3.connect(old / schema.DATABASE_NAME)) as connection:
            connection.execute(MESSAGE)
            connection.execute(BURIED)
            connection.execute(
                "INSERT OR REPLACE INTO objects (bucket, key, blob, size, etag, content_type, metadata)"
                f" VALUES ('local', 'kept', '{BLOB}', 4, 'e2', 'text/plain', '{{}}')"
            )
            connection.commit()
        messages = await backend.queue.receive(max_messages=9, wait_s=0, visibility_timeout_s=9)
        assert [(message.body, message.group) for message in messages] == [("waits", None)] * 2
        letters = await backend.dead_letters.receive(max_messages=9, wait_s=0, visibility_timeout_s=9)
        assert len(letters) == 3
        assert (await backend.store.head(ObjectRef("local", "kept"))).etag == "e2"


async def test_what_was_there_is_of_the_one_queue_without_a_name(old: Path) -> None:
    async with open_local_queues(old, clock=SystemClock(), queues=("", "low")) as (one, other):
        assert await one.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=2)
        assert await other.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)


async def test_a_migration_that_fails_leaves_everything_as_it_was(old: Path, old_version: int) -> None:
    with closing(sqlite3.connect(old / schema.DATABASE_NAME)) as connection:
        connection.execute("ALTER TABLE dead_letters ADD COLUMN tracestate")  # in the way of the last step
    before = tables(old)
    with pytest.raises(SetupError):
        async with open_local(old, clock=SystemClock()):
            pass
    assert tables(old) == before
    assert version(old) == old_version

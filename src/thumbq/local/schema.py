"""The directory's layout and the database's tables: made on first use, checked on every start."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem, SetupError
from thumbq.local import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION: Final = 4
DATABASE_NAME: Final = "thumbq.sqlite3"
OBJECTS: Final = "objects"
BUCKET: Final = "local"
"""The bucket that all objects are in."""

BUSY_TIMEOUT_S: Final = 30.0
"""How long to wait for another process that holds the database's lock."""

_APPLICATION_ID: Final = 0x7468_6D62  # "thmb"
_QUICK_CHECK_MAX_BYTES: Final = 64 << 20  # takes about 0.3 s; a larger database is checked as it is read

# The indexes cover every column that a search for messages needs: a body may be a mebibyte, and the columns after it
# lie behind it.
_INDEXES: Final = (
    "CREATE INDEX messages_by_visibility ON messages (queue, visible_at, group_id)",
    "CREATE INDEX messages_in_order ON messages (queue, seq, visible_at, group_id)",
    "CREATE INDEX dead_letters_by_visibility ON dead_letters (queue, visible_at)",
)

# 3.34 is the oldest SQLite that a Python 3.11 is shipped with (RHEL 9): no STRICT, no RETURNING.
_TABLES: Final = (
    """CREATE TABLE objects (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        blob TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        content_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        modified_at REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID""",
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at REAL NOT NULL,
        visible_at REAL NOT NULL,
        receive_count INTEGER NOT NULL DEFAULT 0,
        received_at REAL,
        receipt TEXT,
        queue TEXT NOT NULL DEFAULT '',
        group_id TEXT,
        traceparent TEXT,
        tracestate TEXT
    )""",
    """CREATE TABLE dead_letters (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        note TEXT,
        sent_at REAL NOT NULL,
        buried_at REAL NOT NULL,
        receive_count INTEGER NOT NULL,
        visible_at REAL NOT NULL DEFAULT 0,
        received_at REAL,
        receipt TEXT,
        queue TEXT NOT NULL DEFAULT '',
        group_id TEXT,
        traceparent TEXT,
        tracestate TEXT
    )""",
    *_INDEXES,
)

# An older thumbq may still be running on the database: what it writes does not name the new columns. It has one queue,
# whose name is empty, and takes messages of the others for its own.
_FROM_VERSION_1: Final = (
    "ALTER TABLE objects ADD COLUMN modified_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE dead_letters ADD COLUMN visible_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE dead_letters ADD COLUMN received_at REAL",
    "ALTER TABLE dead_letters ADD COLUMN receipt TEXT",
    "CREATE INDEX dead_letters_by_visibility ON dead_letters (visible_at)",
)
_FROM_VERSION_2: Final = (
    "ALTER TABLE messages ADD COLUMN queue TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE messages ADD COLUMN group_id TEXT",
    "ALTER TABLE dead_letters ADD COLUMN queue TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE dead_letters ADD COLUMN group_id TEXT",
    "DROP INDEX messages_by_visibility",
    "DROP INDEX dead_letters_by_visibility",
    *_INDEXES,
)
_FROM_VERSION_3: Final = (
    "ALTER TABLE messages ADD COLUMN traceparent TEXT",
    "ALTER TABLE messages ADD COLUMN tracestate TEXT",
    "ALTER TABLE dead_letters ADD COLUMN traceparent TEXT",
    "ALTER TABLE dead_letters ADD COLUMN tracestate TEXT",
)
_CHANGES: Final = (_FROM_VERSION_1, _FROM_VERSION_2, _FROM_VERSION_3)

BROKEN: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""How the names of SQLite's errors begin that say that a database is damaged, or none."""


def _steps(version: int) -> tuple[str, ...]:
    """Return the statements that make the tables of a version those of today; version 0 has none."""
    return tuple(chain(*_CHANGES[version - 1 :])) if version else _TABLES


def connect(directory: Path, *, writes: bool = True) -> sqlite3.Connection:
    """Open the database of a directory, making what is missing; the caller owns the connection.

    Who never ``writes`` takes it as it is, with the schema that it has. Raises SetupError when the directory cannot be
    used. Nothing that was there is changed then.
    """
    path = directory / DATABASE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _refuse_orphans(directory, unless=path.exists)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(directory, error) from error
    try:
        _check(connection, path)
        if writes:
            _prepare(connection, directory)
    except (OSError, sqlite3.Error) as error:
        connection.close()
        raise _unusable(directory, error) from error
    except SetupError:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    # A file of another program must not be touched, so this comes before anything that could write; in one
    # transaction, since another process may be making the tables at this moment.
    connection.execute("BEGIN")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    connection.execute("COMMIT")
    if application != _APPLICATION_ID and (application or version or tables):
        raise SetupError([Problem(f"{path} is a database of another program", "choose another directory")])
    _refuse_newer(version, path)
    if path.stat().st_size <= _QUICK_CHECK_MAX_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise SetupError([_damaged(path, verdict)])


def _prepare(connection: sqlite3.Connection, directory: Path) -> None:
    # EXTRA also makes the end of a transaction durable; TRUNCATE spares the directory's fsync at every commit.
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again under the lock: another process may have made or migrated the tables meanwhile.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _refuse_newer(version, directory / DATABASE_NAME)
        if version == 0:
            _refuse_orphans(directory)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        if version < SCHEMA_VERSION:
            for statement in _steps(version):
                connection.execute(statement)
        # Also where it is so already: a transaction that changes nothing would go well where nothing can be written.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, path: Path) -> None:
    if version > SCHEMA_VERSION:
        what = f"{path} was written by a newer thumbq (schema {version}, this one knows {SCHEMA_VERSION})"
        raise SetupError([Problem(what, "start the newer thumbq, or choose another directory")])


def _refuse_orphans(directory: Path, *, unless: Callable[[], bool] = lambda: False) -> None:
    """Raise SetupError for objects without a database: it may have been lost, or the objects may be another program's.

    ``unless`` is called last, since another process may just have made both.
    """
    objects = directory / OBJECTS
    if objects.exists() and not unless():
        raise SetupError(
            [
                Problem(
                    f"{objects} exists, but {DATABASE_NAME} beside it is missing or empty",
                    f"put {DATABASE_NAME} back from a backup, or choose another directory",
                )
            ]
        )


def _unusable(directory: Path, error: OSError | sqlite3.Error) -> SetupError:
    path = directory / DATABASE_NAME
    if isinstance(error, OSError):
        what = f"the directory {directory} cannot be used: {error.strerror or error}"
        fix = "choose a directory that this user may write, on a disk with room"
        return SetupError([Problem(what, fix)])
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith(BROKEN):
        return SetupError([_damaged(path, str(error))])
    return SetupError(
        [Problem(f"{path}: {errors.reason(error)}", "see that the directory can be written and try again")]
    )


def _damaged(path: Path, detail: str) -> Problem:
    return Problem(
        f"the database {path} is damaged: {detail}",
        "restore the directory from a backup, or start with a new one; the objects' files are untouched",
    )

"""Foreign errors of the local backend, turned into thumbq's in this one place."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING, Final

from thumbq.errors import AccessDenied, BackendUnavailable

if TYPE_CHECKING:
    from thumbq.errors import BackendError

# EFBIG is what a limit on the size of files (ulimit -f) gives.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRIMARY_CODE: Final = 0xFF  # an extended result code keeps its primary code in the low byte


def translated(error: sqlite3.Error | OSError, where: object) -> BackendError:
    """Return thumbq's error for one of SQLite or the file system; ``where`` names the file or the object."""
    translation = _translation(error, where)
    translation.__cause__ = error
    return translation


def left_nothing(error: BackendError) -> bool:
    """Whether what was written certainly is not there: SQLite gave up before its commit was."""
    return isinstance(error.__cause__, sqlite3.Error) and _code(error.__cause__) in _BEFORE_THE_COMMIT


def _translation(error: sqlite3.Error | OSError, where: object) -> BackendError:
    if isinstance(error, PermissionError):
        return AccessDenied(f"{where}: {error.strerror or error}")
    if isinstance(error, OSError):
        what = "the disk is full" if error.errno in _FULL else "reading or writing failed"
        return BackendUnavailable(f"{where}: {what} ({error.strerror or error})")
    return BackendUnavailable(f"{where}: {reason(error)}")


def reason(error: sqlite3.Error) -> str:
    """Return the meaning of an error of SQLite as text."""
    return f"{_MEANINGS.get(_code(error), 'the database cannot answer')} ({error})"


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    return code


_BEFORE_THE_COMMIT: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
}
"""Not SQLITE_IOERR: a sync that failed may have written all."""


_MEANINGS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another process holds the database's lock for too long",
    sqlite3.SQLITE_IOERR: "reading or writing the database failed",
    sqlite3.SQLITE_CANTOPEN: "the database's files cannot be opened",
    sqlite3.SQLITE_READONLY: "the database cannot be written",
    sqlite3.SQLITE_PERM: "the database may not be opened",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
}

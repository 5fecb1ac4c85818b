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
    if isinstance(error, PermissionError):
        return AccessDenied(f"{where}: {error.strerror or error}")
    if isinstance(error, OSError):
        what = "the disk is full" if error.errno in _FULL else "reading or writing failed"
        return BackendUnavailable(f"{where}: {what} ({error.strerror or error})")
    return BackendUnavailable(f"{where}: {reason(error)}")


def reason(error: sqlite3.Error) -> str:
    """Return the meaning of an error of SQLite as text."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    return f"{_MEANINGS.get(code, 'the database cannot answer')} ({error})"


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

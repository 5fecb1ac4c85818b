"""Whether a directory is still the one that was opened, and can be written to, at the cost of a few system calls."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from thumbq.errors import AccessDenied, BackendUnavailable, RestartNeeded
from thumbq.local import errors, schema
from thumbq.local.blobs import TEMPORARY

if TYPE_CHECKING:
    from pathlib import Path

# A file system that was unmounted by force answers with the last two.
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN})
_LEAST_FREE_BYTES: Final = 1 << 20


class Condition:
    """The condition of a directory that is open. It is made when the directory is opened; raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._database = directory / schema.DATABASE_NAME
        self._opened = _identity(self._database)
        self._looking = anyio.CapacityLimiter(1)

    async def check(self) -> None:
        """Raise RestartNeeded when the directory was removed, unmounted or replaced, and else a BackendError.

        SQLite and the file system go on with what is open, whatever lies under its name by now. A full disk is only a
        guess: what is written may fit, or this user may write to what is kept for it.
        """
        # Where the file system hangs, so does the thread: the next call waits for it, not for another one.
        await to_thread.run_sync(self._check, limiter=self._looking, abandon_on_cancel=True)

    def _check(self) -> None:
        try:
            if _identity(self._database) != self._opened:
                raise RestartNeeded(f"{self._database} is another file than the one that was opened")
            for folder in (schema.OBJECTS, TEMPORARY):
                (self._directory / folder).stat()
            status = os.statvfs(self._directory)
        except OSError as error:
            if error.errno in _GONE:
                raise RestartNeeded(f"{error.filename or self._directory} is not there any more") from error
            raise errors.translated(error, self._directory) from error
        if status.f_flag & os.ST_RDONLY:
            raise BackendUnavailable(f"{self._directory}: the file system is read-only")
        if status.f_bavail * status.f_frsize < _LEAST_FREE_BYTES:
            raise BackendUnavailable(f"{self._directory}: the disk is full")
        if not all(os.access(path, os.W_OK) for path in (self._directory, self._directory / TEMPORARY, self._database)):
            raise AccessDenied(f"{self._directory} may not be written to")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino

"""Files that hold the bytes of objects: written whole and durably under a random name, then never changed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

from thumbq.local import blobnames, schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from thumbq.local.blobnames import Description

TEMPORARY: Final = "tmp"
"""The folder of files that are not whole yet. Files that are left there are removed after a while."""

LOST: Final = "lost-and-found"
"""The folder of whole files that no row names, which is made when there is one."""

FOLDERS: Final = tuple(f"{number:02x}" for number in range(256))
"""The folders of files: each has those whose names begin so."""

_NAME_MAX: Final = 255


class Blobs:
    """The files of one directory. All methods block; errors are OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._objects = directory / schema.OBJECTS
        self._temporary = directory / TEMPORARY
        self._lost = directory / LOST

    def prepare(self) -> None:
        """Make the folders that are missing, durably, and see that a file can be written.

        The database must be there already (see schema).
        """
        self._temporary.mkdir(exist_ok=True)
        self._objects.mkdir(exist_ok=True)
        for folder in FOLDERS:
            (self._objects / folder).mkdir(exist_ok=True)
        for path in (self._directory, self._temporary, *(self._objects / folder for folder in FOLDERS)):
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "it may not be written to", str(path))
        sync_directory(self._objects)
        sync_directory(self._directory)
        sync_directory(self._directory.parent)
        self.remove(self.write(b""))

    def path(self, name: str) -> Path:
        """Return the path of the file of this name."""
        return self._objects / name[:2] / name

    def lost_path(self, name: str) -> Path:
        """Return the path that the file of this name has among those that were moved aside."""
        return self._lost / name

    def write(self, body: bytes, description: Description | None = None) -> str:
        """Store bytes and return the new file's name once both would survive a power loss."""
        name = self.new_name(description)
        temporary, final = self._temporary / name, self.path(name)
        try:
            with temporary.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(final)
            sync_directory(final.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
                final.unlink(missing_ok=True)
            raise
        return name

    def new_name(self, description: Description | None) -> str:
        """Return a name that no file has yet."""
        return blobnames.new(description, max_bytes=self._max_name_bytes)

    def remove(self, name: str) -> None:
        """Remove a file; it is no error when it is gone."""
        self.path(name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in one of FOLDERS."""
        return _names(self._objects / folder)

    def older_than(self, posix_s: float, names: Iterable[str]) -> list[str]:
        """Return those of the files that were written before this time and are still there."""
        return [name for name in names if _is_older(self.path(name), posix_s)]

    def move_aside(self, name: str) -> bool:
        """Move a file to those that are lost; False when it is gone."""
        try:
            self._lost.mkdir(exist_ok=True)
            self.path(name).rename(self._lost / name)
        except FileNotFoundError:
            return False
        return True

    def lost(self) -> list[str]:
        """Return the names of the files that were moved aside."""
        try:
            return _names(self._lost)
        except FileNotFoundError:
            return []

    def bring_back(self, lost: str, name: str) -> None:
        """Move a file back, durably, under a new name."""
        self.lost_path(lost).rename(self.path(name))
        sync_directory(self.path(name).parent)

    def clear_temporary(self, posix_s: float) -> None:
        """Remove unfinished files that were last written to before this time."""
        for name in _names(self._temporary):
            if _is_older(self._temporary / name, posix_s):
                (self._temporary / name).unlink(missing_ok=True)

    @cached_property
    def _max_name_bytes(self) -> int:
        # Less on some file systems: encrypted shares have 143.
        return min(_NAME_MAX, os.pathconf(self._objects, "PC_NAME_MAX"))


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if blobnames.is_name(entry.name)]


def _is_older(path: Path, posix_s: float) -> bool:
    # Another process may remove the file between the listing and the look at it.
    with suppress(FileNotFoundError):
        return path.lstat().st_mtime < posix_s
    return False


def sync_directory(directory: Path) -> None:
    """Make new names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that hold the bytes of objects: written whole and durably under a random name, then never changed."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from thumbq.local import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY: Final = "tmp"
"""The folder of files that are not whole yet. Files that are left there are removed after a while."""

_NAME: Final = re.compile(r"[0-9a-f]{32}")


class Blobs:
    """The files of one directory. All methods block; errors are OSError."""

    def __init__(self, directory: Path) -> None:
        self._objects = directory / schema.OBJECTS
        self._temporary = directory / TEMPORARY

    def prepare(self) -> None:
        """Make the folders that are missing, durably. The database must be there already (see schema)."""
        self._temporary.mkdir(exist_ok=True)
        self._objects.mkdir(exist_ok=True)
        for number in range(256):
            (self._objects / f"{number:02x}").mkdir(exist_ok=True)
        sync_directory(self._objects)
        sync_directory(self._objects.parent)
        sync_directory(self._objects.parent.parent)

    def path(self, name: str) -> Path:
        """Return the path of the file of this name."""
        return self._objects / name[:2] / name

    def write(self, body: bytes) -> str:
        """Store bytes and return the new file's name once both would survive a power loss."""
        name = uuid.uuid4().hex
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

    def remove(self, name: str) -> None:
        """Remove a file; it is no error when it is gone."""
        self.path(name).unlink(missing_ok=True)

    def older_than(self, posix_s: float) -> list[str]:
        """Return the names of the files that were written before this time."""
        folders = [self._objects / f"{number:02x}" for number in range(256)]
        return [entry.name for folder in folders for entry in _older(folder, posix_s)]

    def clear_temporary(self, posix_s: float) -> None:
        """Remove unfinished files that were last written to before this time."""
        for entry in _older(self._temporary, posix_s):
            (self._temporary / entry.name).unlink(missing_ok=True)


def _older(folder: Path, posix_s: float) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # Another process may remove the file between the listing and the look at it.
            with suppress(FileNotFoundError):
                if _NAME.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < posix_s:
                    yield entry


def sync_directory(directory: Path) -> None:
    """Make new names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

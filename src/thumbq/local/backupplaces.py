"""Where a backup goes: a directory of its own, or a tar file."""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from thumbq.errors import Problem, SetupError
from thumbq.local import schema, signingsecret
from thumbq.local.blobs import FOLDERS, Blobs, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

ARCHIVE_ENDING: Final = ".tar"
_UNFINISHED: Final = "unfinished.sqlite3"


class BackupPlace(Protocol):
    """Takes the files of a backup; it is none before ``finish``. All methods block; errors are OSError."""

    database: Path
    """Where the database is copied to."""

    def add(self, source: Path, name: str) -> bool:
        """Take an object's file; True when it is a hard link. Raises FileNotFoundError when it is not there."""
        ...

    def remove(self, name: str) -> None:
        """Remove from the backup what is no object in it."""
        ...

    def finish(self, directory: Path) -> None:
        """Take the database and the secret of the ``directory``, durably: now it is a backup."""
        ...


class BackupDirectory:
    """A directory that serves in the place of the one that is backed up. Raises SetupError unless it is empty.

    Files that a ``previous`` backup has, too, are hard links to those.
    """

    def __init__(self, destination: Path, previous: Path | None = None) -> None:
        self._destination = destination
        self._previous = None if previous is None else Blobs(previous)
        self._blobs = Blobs(destination)
        self.database = destination / _UNFINISHED
        make_empty(destination, "name a new directory for the backup")

    def add(self, source: Path, name: str) -> bool:
        """See BackupPlace."""
        if self._previous is not None:
            there = self._previous.path(name)
            if _as_long(there, source) and link(there, self._blobs.path(name)):
                return True
        return link_or_copy(source, self._blobs.path(name))

    def remove(self, name: str) -> None:
        """See BackupPlace."""
        self._blobs.remove(name)

    def finish(self, directory: Path) -> None:
        """See BackupPlace."""
        with suppress(FileNotFoundError):  # it is made by the first replica
            shutil.copy2(directory / signingsecret.FILE_NAME, self._destination)
        os.sync()
        self.database.rename(self._destination / schema.DATABASE_NAME)
        os.sync()


class BackupArchive:
    """A tar file, which gets its name at the end. Raises SetupError when there is one."""

    def __init__(self, destination: Path) -> None:
        if destination.exists():
            raise SetupError([Problem(f"{destination} is there already", "name a new file for the backup")])
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._destination = destination
        self._unfinished = destination.with_name(f"{destination.name}.unfinished")
        self.database = destination.with_name(f"{destination.name}.{_UNFINISHED}")
        self.database.unlink(missing_ok=True)
        self._tar = tarfile.open(self._unfinished, "w")  # noqa: SIM115 - it is closed by finish

    def add(self, source: Path, name: str) -> bool:
        """See BackupPlace."""
        self._tar.add(source, f"{schema.OBJECTS}/{name[:2]}/{name}", recursive=False)
        forget_members(self._tar)
        return False

    def remove(self, name: str) -> None:
        """Do nothing: a restore takes what the database names."""

    def finish(self, directory: Path) -> None:
        """See BackupPlace."""
        with suppress(FileNotFoundError):
            self._tar.add(directory / signingsecret.FILE_NAME, signingsecret.FILE_NAME)
        self._tar.add(self.database, schema.DATABASE_NAME)
        self._tar.close()
        self.database.unlink()
        with self._unfinished.open("rb") as file:
            os.fsync(file.fileno())
        self._unfinished.rename(self._destination)
        sync_directory(self._destination.parent)


def forget_members(tar: tarfile.TarFile) -> None:
    """Forget what was written or read: it would keep what it knows of each of millions of files."""
    members: list[tarfile.TarInfo] = vars(tar)["members"]
    members.clear()


def make_empty(directory: Path, fix: str) -> None:
    """Make a directory with the folders of objects. Raises SetupError when there is anything in it, or it is a file."""
    if directory.exists() and not directory.is_dir():
        raise SetupError([Problem(f"{directory} is no directory", fix)])
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise SetupError([Problem(f"{directory} is not empty", fix)])
    for folder in FOLDERS:
        (directory / schema.OBJECTS / folder).mkdir(parents=True)


def _as_long(file: Path, other: Path) -> bool:
    """Whether both are there and as long: a file that was cut has to be copied once more."""
    try:
        return file.stat().st_size == other.stat().st_size
    except FileNotFoundError:
        return False


def link_or_copy(source: Path, destination: Path) -> bool:
    """Whether the file could be linked. Raises FileNotFoundError when it is not there."""
    if link(source, destination):
        return True
    shutil.copy2(source, destination)
    return False


def link(source: Path, destination: Path) -> bool:
    """Link a file; False when it is not there, or on another file system, or the system links no files."""
    try:
        os.link(source, destination)
    except OSError:
        return False
    return True

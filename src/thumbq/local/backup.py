"""What `thumbq local backup` does: a copy of a directory that is complete, while replicas go on working on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem, SetupError
from thumbq.local import errors, schema
from thumbq.local.backupplaces import ARCHIVE_ENDING, BackupArchive, BackupDirectory
from thumbq.local.blobs import FOLDERS, Blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from thumbq.local.backupplaces import BackupPlace

_PASSES: Final = 5
_FEW: Final = 1000
"""How many files may be left to copy while other processes wait for the database."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """How many files a backup has, how many of them are hard links, and how many objects had none to copy."""

    files: int
    linked: int
    missing: int


def back_up(
    directory: Path, destination: Path, progress: Callable[[int], None], *, previous: Path | None = None
) -> BackedUp:
    """Copy a directory to one that is empty or missing, or into a new tar file (``.tar``); blocks.

    ``progress`` gets numbers of files as they come. Files are linked where both are on one file system, or where the
    ``previous`` backup is and has them, and else copied: they are never changed, only replaced. They come first, since
    there are many. Then the database is copied, and in the same transaction the files that came meanwhile: while it
    lasts no other process can commit, and files are removed after a commit only, so that each file that the copy names
    is there. The copied database gets its name last: a backup that was cut off has none, and is refused by whoever
    opens it. Nothing is written to the directory: its disk may be full.

    Raises SetupError when one of them cannot be used, and BackendUnavailable.
    """
    if previous is not None and not (previous / schema.DATABASE_NAME).is_file():
        raise SetupError([Problem(f"{previous} is no backup", "name a directory that thumbq local backup has made")])
    with closing(schema.connect(directory, writes=False)) as connection:
        try:
            place = _place(destination, previous)
            return _copied(connection, _Copying(Blobs(directory), place, progress), place, directory)
        except (OSError, sqlite3.Error) as error:
            raise errors.translated(error, destination) from error


def _place(destination: Path, previous: Path | None) -> BackupPlace:
    if destination.suffix != ARCHIVE_ENDING:
        return BackupDirectory(destination, previous)
    if previous is not None:
        raise SetupError([Problem("a tar file links to no previous backup", "back up into a directory, or all of it")])
    return BackupArchive(destination)


def _copied(connection: sqlite3.Connection, files: _Copying, place: BackupPlace, directory: Path) -> BackedUp:
    for _ in range(_PASSES):
        if files.copy_all() < _FEW:
            break
    with closing(sqlite3.connect(place.database)) as copy:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock, which BEGIN does not
        connection.backup(copy)
        named = {blob for (blob,) in copy.execute("SELECT blob FROM objects")}
        missing = files.copy(named - files.copied.keys())
        connection.execute("COMMIT")
    files.remove(files.copied.keys() - named)
    place.finish(directory)
    return BackedUp(len(files.copied), sum(files.copied.values()), missing)


class _Copying:
    """The files of a backup, as they come."""

    def __init__(self, source: Blobs, place: BackupPlace, progress: Callable[[int], None]) -> None:
        self._source = source
        self._place = place
        self._progress = progress
        self.copied: dict[str, bool] = {}
        """Whether each file is a hard link, by its name."""

    def copy_all(self) -> int:
        """Copy all files that were not copied yet, and return how many there were."""
        before = len(self.copied)
        for folder in FOLDERS:
            self.copy(set(self._source.names(folder)) - self.copied.keys())
        return len(self.copied) - before

    def copy(self, names: Collection[str]) -> int:
        """Copy files, and return how many are not there (any more)."""
        missing = 0
        for name in names:
            try:
                self.copied[name] = self._place.add(self._source.path(name), name)
            except FileNotFoundError:
                missing += 1
        self._progress(len(names) - missing)
        return missing

    def remove(self, names: Collection[str]) -> None:
        """Remove from the backup what is no object in it: it was replaced meanwhile, or its put has not ended."""
        for name in names:
            self._place.remove(name)
            del self.copied[name]

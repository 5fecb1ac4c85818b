"""What `thumbq local restore` does: a backup becomes a directory that a service can be started on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from thumbq.errors import Problem, SetupError
from thumbq.local import blobnames, errors, schema, signingsecret
from thumbq.local.backupplaces import forget_members, link_or_copy, make_empty
from thumbq.local.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UNFINISHED: Final = "unfinished.sqlite3"


@dataclass(frozen=True, slots=True)
class Restored:
    """How many objects there are again, and how many have no whole file in the backup."""

    files: int
    missing: int


def restore(backup: Path, directory: Path, progress: Callable[[int], None]) -> Restored:
    """Make a directory of a backup, a directory or a tar file; blocks. ``progress`` gets numbers of files as they come.

    Files come first, and the database gets its name last: what was cut off is no directory of thumbq's, and refused.
    What no row names is left behind, and so are rows without a whole file. Raises SetupError when the backup is none,
    or the directory is not empty, and BackendUnavailable.
    """
    archive = not backup.is_dir()
    try:
        if not (_is_archive(backup) if archive else (backup / schema.DATABASE_NAME).is_file()):
            fix = "name a directory or a .tar file that thumbq local backup has finished"
            raise SetupError([Problem(f"{backup} is no backup of a local directory", fix)])
        make_empty(directory, "name a new directory, or move this one away first")
        (_unpack if archive else _copy)(backup, directory, progress)
        restored = _checked(directory, backup)
        os.sync()
        (directory / _UNFINISHED).rename(directory / schema.DATABASE_NAME)
        os.sync()
    except tarfile.TarError as error:
        raise _damaged(backup, error) from error
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorname", "").startswith(schema.BROKEN):
            raise _damaged(backup, error) from error
        raise errors.translated(error, directory) from error
    return restored


def _damaged(backup: Path, error: object) -> SetupError:
    return SetupError([Problem(f"{backup} is damaged: {error}", "take another backup, and a new directory")])


def _is_archive(backup: Path) -> bool:
    """Whether this is a tar file with a database in it. Raises TarError for one that was cut."""
    try:
        with tarfile.open(backup, "r:"):
            pass
    except (OSError, tarfile.TarError):
        return False
    return any(member.name == schema.DATABASE_NAME for member in _members(backup))


def _copy(backup: Path, directory: Path, progress: Callable[[int], None]) -> None:
    # By SQLite, as the backup may be a directory that is in use.
    uri = f"file:{quote(str(backup / schema.DATABASE_NAME))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(directory / _UNFINISHED)) as copy:
        source.backup(copy)
        source_blobs, blobs = Blobs(backup), Blobs(directory)
        for (name,) in copy.execute("SELECT blob FROM objects"):
            with suppress(FileNotFoundError):
                link_or_copy(source_blobs.path(name), blobs.path(name))
            progress(1)
    with suppress(FileNotFoundError):
        shutil.copy2(backup / signingsecret.FILE_NAME, directory)


def _unpack(backup: Path, directory: Path, progress: Callable[[int], None]) -> None:
    targets = {schema.DATABASE_NAME: _UNFINISHED, signingsecret.FILE_NAME: signingsecret.FILE_NAME}
    with tarfile.open(backup, "r:") as tar:
        for member in iter(tar.next, None):
            forget_members(tar)
            name = targets.get(member.name, member.name)
            if not _is_ours(member):
                continue
            content = tar.extractfile(member)
            assert content is not None
            with (directory / name).open("xb") as file:
                shutil.copyfileobj(content, file)
            os.utime(directory / name, (member.mtime, member.mtime))
            (directory / name).chmod(0o600 if name == signingsecret.FILE_NAME else 0o644)
            progress(1)


def _is_ours(member: tarfile.TarInfo) -> bool:
    """Whether this is a file of a backup; a path that leads elsewhere never is."""
    if not member.isfile():
        return False
    match member.name.split("/"):
        case [name]:
            return name in (schema.DATABASE_NAME, signingsecret.FILE_NAME)
        case [root, folder, name]:
            return root == schema.OBJECTS and name[:2] == folder and blobnames.is_name(name)
        case _:
            return False


def _members(backup: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(backup, "r:") as tar:
        for member in iter(tar.next, None):
            forget_members(tar)
            yield member


def _checked(directory: Path, backup: Path) -> Restored:
    """Remove rows without a whole file, and files that no row names."""
    blobs = Blobs(directory)
    with closing(sqlite3.connect(directory / _UNFINISHED)) as database, database:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(backup, verdict)
        named, broken = set[str](), list[str]()
        for blob, size in database.execute("SELECT blob, size FROM objects"):
            path = blobs.path(blob)
            whole = path.is_file() and path.stat().st_size == size
            named.add(blob) if whole else broken.append(blob)
        database.executemany("DELETE FROM objects WHERE blob = ?", [(blob,) for blob in broken])
    for path in (directory / schema.OBJECTS).glob("*/*"):
        if path.name not in named:
            path.unlink()
    return Restored(len(named), len(broken))

"""What `thumbq local recover` does: files that no row names become objects again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.local import blobnames, errors, objecttable
from thumbq.local.blobs import FOLDERS
from thumbq.local.objecttable import Entry
from thumbq.local.schema import BUCKET
from thumbq.ports import ObjectInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.local.blobnames import Description
    from thumbq.local.blobs import Blobs
    from thumbq.local.database import Database
    from thumbq.local.orphans import Orphans
    from thumbq.ports import Clock

_AGE_S: Final = 10.0
"""A put that is slower than this between its file and its row is told to come again."""
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file that no row names, and its object's key; ``kept`` says why it stays where it is."""

    path: Path
    size: int
    modified_at: float
    key: str | None
    kept: str | None = None


class Recovery:
    """Finds lost files, and makes rows for them."""

    def __init__(self, database: Database, blobs: Blobs, orphans: Orphans, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._orphans = orphans
        self._clock = clock

    async def find(self, report: Callable[[LostFile], None]) -> None:
        """Report what ``recover`` would look at. Raises OSError and BackendError."""
        before = self._clock.wall() - _AGE_S
        for folder in FOLDERS:
            names = await self._orphans.unnamed(folder, before)
            await self._report(names, self._blobs.path, report)
        await self._report(await self._lost(), self._blobs.lost_path, report)

    async def recover(self, report: Callable[[LostFile], None]) -> None:
        """Move orphans aside, then make a row for each lost file whose key has no object; report all of them.

        A row whose own file is gone is no object: an older database names files that were replaced after it. Of several
        files with one key the newest becomes the object. Raises OSError and BackendError.
        """
        await self._orphans.look(age_s=_AGE_S)
        names = await self._lost()
        for start in range(0, len(names), _BATCH):
            for lost in await self._bring_back(names[start : start + _BATCH]):
                report(lost)

    async def _lost(self) -> list[str]:
        """Return the names of lost files, the newest first."""

        def listed() -> list[str]:
            return sorted(
                self._blobs.lost(), key=lambda name: self._blobs.lost_path(name).lstat().st_mtime, reverse=True
            )

        return await to_thread.run_sync(listed)

    async def _report(
        self, names: Sequence[str], path_of: Callable[[str], Path], report: Callable[[LostFile], None]
    ) -> None:
        found = await to_thread.run_sync(lambda: [_lost_file(path_of(name)) for name in names])
        taken = await self._database.read(lambda connection: [self._kept(connection, one) for one in found])
        for one, kept in zip(found, taken, strict=True):
            report(replace(one, kept=kept))

    async def _bring_back(self, names: Sequence[str]) -> list[LostFile]:
        try:
            read = await to_thread.run_sync(lambda: [_read(self._blobs.lost_path(name)) for name in names])
        except OSError as error:
            raise errors.translated(error, "lost files") from error
        return await self._database.write(partial(self._make_rows, read=read))

    def _make_rows(
        self, connection: sqlite3.Connection, read: Sequence[tuple[LostFile, ObjectInfo | None]]
    ) -> list[LostFile]:
        return [replace(lost, kept=self._make_row(connection, lost, info)) for lost, info in read]

    def _make_row(self, connection: sqlite3.Connection, lost: LostFile, info: ObjectInfo | None) -> str | None:
        """Make the row of a file and return None, or return why it stays lost."""
        if (kept := self._kept(connection, lost)) is not None or info is None or lost.key is None:
            return kept
        # A new name: a put that has only been slow must not find its file again, and take it for its own.
        name = self._blobs.new_name(blobnames.described(lost.path.name))
        try:
            self._blobs.bring_back(lost.path.name, name)
        except FileNotFoundError:
            return "another process has taken it"
        ref = ObjectRef(BUCKET, lost.key)
        objecttable.insert(connection, ref, Entry(name, info), if_absent=False, now=lost.modified_at)
        return None

    def _kept(self, connection: sqlite3.Connection, lost: LostFile) -> str | None:
        if lost.key is None:
            return "its name has no key: thumbq send it"
        if lost.key.startswith(keys.CRASH_RECORDS_PREFIX):
            return "a crash record, which is of no use any more"
        entry = objecttable.find(connection, ObjectRef(BUCKET, lost.key))
        if entry is not None and self._blobs.path(entry.blob).exists():
            return "its key has another object"
        return None


def _lost_file(path: Path) -> LostFile:
    status, description = path.lstat(), blobnames.described(path.name)
    return LostFile(path, status.st_size, status.st_mtime, _key(description))


def _read(path: Path) -> tuple[LostFile, ObjectInfo | None]:
    """Return a lost file with the attributes that its object had; None when its name does not say them."""
    lost, description = _lost_file(path), blobnames.described(path.name)
    if lost.key is None or description is None:
        return lost, None
    with path.open("rb") as file:
        etag = hashlib.file_digest(file, "sha256").hexdigest()
    return lost, ObjectInfo(lost.size, etag, description.content_type, description.metadata)


def _key(description: Description | None) -> str | None:
    """Return the key, if it may be one: anybody may have put the file there."""
    if description is None or not 0 < len(description.key.encode()) <= keys.MAX_KEY_BYTES:
        return None
    return description.key

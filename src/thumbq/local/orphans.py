"""Orphans: files that no row names, as a crash, a cancelled put or an older database leaves them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from anyio import to_thread

from thumbq.errors import BackendError
from thumbq.local import objecttable
from thumbq.local.blobs import FOLDERS, LOST

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path
    from random import Random

    from thumbq.local.blobs import Blobs
    from thumbq.local.database import Database
    from thumbq.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

AGE_S: Final = 3600.0
"""How old a file must be before it counts as an orphan; far longer than a put between its file and its row."""

_EVERY_S: Final = 3600.0
_REST: Final = 10
"""The rest after each folder, in times of what it took: 600,000 files cost 1.2 s of CPU, spread over a minute."""


class Orphans:
    """Looks for orphans now and then, and moves them aside; none is removed.

    Other processes may be writing, and looking. A file is moved only in a transaction that sees it without a row, and
    ``LocalStore.put`` looks for its file in the transaction that makes the row.
    """

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, random: Random, *, directory: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._random = random
        self._directory = directory

    async def run(self) -> None:
        """Look once an hour, from now on until cancelled."""
        while True:
            try:
                await self.look(rest=_REST)
            except (OSError, BackendError) as error:
                log.warning("orphans.not_looked_for", error=str(error))
            await anyio.sleep(_EVERY_S * (0.5 + self._random.random()))

    async def look(self, *, age_s: float = AGE_S, rest: int = 0) -> None:
        """Go through all files once. Raises OSError and BackendError."""
        before = self._clock.wall() - age_s
        moved: list[str] = []
        try:
            await to_thread.run_sync(self._blobs.clear_temporary, before)
            for folder in FOLDERS:
                began_at = self._clock.monotonic()
                moved += await self._look_at(folder, before)
                await anyio.sleep(rest * (self._clock.monotonic() - began_at))
        finally:
            if moved:
                log.warning(
                    "orphans.moved_aside",
                    files=len(moved),
                    example=moved[0],
                    directory=str(self._directory / LOST),
                    fix="thumbq local recover",
                )

    async def unnamed(self, folder: str, before: float) -> list[str]:
        """Return the files of a folder that no row names and that were written before this time."""
        names = await to_thread.run_sync(self._blobs.names, folder)
        if not names:
            return []
        named = await self._database.read(partial(objecttable.blobs_in, folder=folder))
        return await to_thread.run_sync(self._blobs.older_than, before, [name for name in names if name not in named])

    async def _look_at(self, folder: str, before: float) -> list[str]:
        orphans = await self.unnamed(folder, before)

        def move(connection: sqlite3.Connection) -> list[str]:
            return list(filter(self._blobs.move_aside, objecttable.without_object(connection, orphans)))

        return await self._database.write(move) if orphans else []

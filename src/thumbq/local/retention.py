"""Objects of a directory that are older than they are to be kept go, a few at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from anyio import to_thread

from thumbq.errors import BackendError
from thumbq.local import objecttable
from thumbq.local.schema import BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from thumbq.local.blobs import Blobs
    from thumbq.local.database import Database
    from thumbq.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_DAY_S: Final = 86_400
_EVERY_S: Final = 3600.0
_REST: Final = 10
"""The rest after each page, in times of what it took: others write meanwhile."""
_PAGE: Final = 500


class Retention:
    """Removes what is older than its prefix allows; of several prefixes of a key the shortest age counts, as on S3.

    An object goes when both its row and its file are old enough: rows of the first schema have no time. The row goes
    first, and its file once that is durable. A file that a kill leaves behind is an orphan.
    """

    def __init__(
        self, database: Database, blobs: Blobs, clock: Clock, random: Random, *, days: Mapping[str, int]
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._random = random
        self._days = days

    async def run(self) -> None:
        """Look once an hour, from now on until cancelled."""
        while self._days:
            try:
                await self.look(rest=_REST)
            except (OSError, BackendError) as error:
                log.warning("retention.not_looked_for", error=str(error))
            await anyio.sleep(_EVERY_S * (0.5 + self._random.random()))

    async def look(self, *, rest: int = 0) -> None:
        """Go through all objects under the prefixes once. Raises OSError and BackendError."""
        for prefix, days in self._days.items():
            removed = 0
            before, after = self._clock.wall() - days * _DAY_S, ""
            try:
                while True:
                    began_at = self._clock.monotonic()
                    page = await self._database.read(
                        partial(objecttable.aged, bucket=BUCKET, prefix=prefix, after=after, limit=_PAGE, before=before)
                    )
                    removed += await self._remove(page.old, before)
                    if page.last is None:
                        break
                    after = page.last
                    await anyio.sleep(rest * (self._clock.monotonic() - began_at))
            finally:
                if removed:
                    log.info("retention.removed", prefix=prefix, days=days, objects=removed)

    async def _remove(self, old: Sequence[objecttable.Named], before: float) -> int:
        if not old:
            return 0
        aged = set(await to_thread.run_sync(self._blobs.older_than, before, [one.blob for one in old]))
        gone = [one for one in old if one.blob in aged]
        with anyio.CancelScope(shield=True):  # else their files would be orphans
            blobs = await self._database.write(partial(objecttable.remove_these, bucket=BUCKET, named=gone))
            await to_thread.run_sync(self._remove_files, blobs)
        return len(blobs)

    def _remove_files(self, blobs: Sequence[str]) -> None:
        for blob in blobs:
            self._blobs.remove(blob)

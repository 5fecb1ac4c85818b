"""The room that is kept on a directory's disk for the jobs of uploads that are taken already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from thumbq.errors import StoreFull
from thumbq.local import errors

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.ports import Clock

_EVERY_S: Final = 1.0


class Watermark:
    """Refuses uploads that would leave less than ``least_bytes`` free. Raises OSError when it is made.

    The file system is asked once a second at the most; what is let in meanwhile counts as stored.
    """

    def __init__(self, directory: Path, least_bytes: int, clock: Clock) -> None:
        self._directory = directory
        self._least = least_bytes
        self._clock = clock
        self._looking = anyio.CapacityLimiter(1)
        self._free = self._look()
        self._looked_at = clock.monotonic()

    async def check(self, size: int) -> None:
        """Take ``size`` bytes of the room. Raises StoreFull, and BackendUnavailable where nobody can be asked."""
        now = self._clock.monotonic()
        if now - self._looked_at >= _EVERY_S:
            self._looked_at = now
            # Where the file system hangs, so does the thread; the put that follows says what is wrong with it.
            try:
                self._free = await to_thread.run_sync(self._look, limiter=self._looking, abandon_on_cancel=True)
            except OSError as error:
                raise errors.translated(error, self._directory) from error
        if self._free - size < self._least:
            raise StoreFull(f"{self._directory}: {self._free} bytes are free, and {self._least} are kept")
        self._free -= size

    def _look(self) -> int:
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

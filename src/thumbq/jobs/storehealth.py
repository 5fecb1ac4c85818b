"""Whether the store answers, as jobs find it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendError, ObjectMissing

if TYPE_CHECKING:
    from thumbq.ports import ObjectStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_OUTAGE_AFTER: Final = 3
_PROBE_BYTES: Final = 1024
_PROBE_S: Final = 10.0


class StoreHealth:
    """What jobs learn of the store; a probe tells an outage from a single key that fails."""

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._probe = ObjectRef(bucket, keys.PROBE_KEY)
        self._probed_at = 0
        self.failures = 0
        """Attempts in a row that ended because the store did not answer, or would not."""
        self.on_trial = False
        """Whether the store answers again after an outage, and no job has shown yet that it is over."""

    def answered(self) -> None:
        """Note that a job has had all its answers."""
        self.failures, self._probed_at, self.on_trial = 0, 0, False

    def failed(self) -> None:
        """Note that a job has ended because the store did not answer, or would not."""
        self.failures += 1
        if self.on_trial:
            self._away()

    @property
    def outage(self) -> bool:
        """Whether the store seems to fail for everybody."""
        return self.failures >= _OUTAGE_AFTER and not self.on_trial

    async def look(self) -> None:
        """After a failure that was not looked at yet, see whether it is an outage."""
        if not self.outage and self.failures > self._probed_at and not await self._answers():
            self._away()
        self._probed_at = self.failures

    async def recover(self) -> None:
        """Ask whether an outage is over; then one job has to show it."""
        self.on_trial = await self._answers()

    async def _answers(self) -> bool:
        """Write something small, read it and remove it: an outage may be one of writes only."""
        try:
            with anyio.move_on_after(_PROBE_S):
                await self._store.put(self._probe, b"probe", content_type="text/plain")
                with suppress(ObjectMissing):  # another replica's probe may have removed it
                    await self._store.get(self._probe, max_bytes=_PROBE_BYTES)
                with suppress(AccessDenied):  # as good as an answer: what is left is small
                    await self._store.delete(self._probe)
                return True
        except BackendError as error:
            log.info("store.away", error=str(error))
        return False

    def _away(self) -> None:
        self.failures, self.on_trial = max(self.failures, _OUTAGE_AFTER), False

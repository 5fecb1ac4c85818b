"""Whether the store answers, as jobs find it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from thumbq.jobs import storeprobe
from thumbq.jobs.reporting import report_away

if TYPE_CHECKING:
    from thumbq.ports import Clock, ObjectStore

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FRESH_S: Final = 1.0
"""How long what a probe has found does for others that would ask the same."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The store fails for everybody: ``since`` when (POSIX seconds), and the ``error`` that a probe got last."""

    since: float
    error: str


class StoreHealth:
    """What jobs and probes learn of the store.

    A job that fails says nothing of the store: its keys alone may be denied, or encrypted with a key that is disabled.
    Only a probe of thumbq's own key tells an outage, whatever the error was. There is one probe at a time, for all
    queues.
    """

    def __init__(self, store: ObjectStore, bucket: str, clock: Clock) -> None:
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._probing = anyio.Lock()
        self._probed_at = -math.inf
        self._failures = 0
        self._looked_at = 0
        """How many of the failures are accounted for: by a probe, or by a job that had all its answers."""
        self.outage: Outage | None = None
        self.failed_probes = 0
        """How many probes in a row have failed."""
        self.on_trial = False
        """Whether the store answers again after an outage, and no job has shown yet that it is over."""

    def answered(self) -> None:
        """Note that a job has had all its answers. It may have had them before an outage began: that goes on."""
        if self.outage is None:
            self._looked_at, self.on_trial = self._failures, False

    def failed(self) -> None:
        """Note that a job has ended because the store did not answer, or would not."""
        self._failures += 1

    async def look(self, *, fresh_s: float = 0.0) -> None:
        """After failures that nothing accounts for, see whether it is an outage.

        What a probe has found in the last ``fresh_s`` seconds does.
        """
        if self._is_settled(fresh_s):
            return
        async with self._probing:
            if not self._is_settled(fresh_s):
                await self._probe()

    async def look_between_jobs(self) -> None:
        """Look before the next job of a message; so that many jobs which fail do not make as many probes."""
        await self.look(fresh_s=_FRESH_S)

    async def recover(self) -> None:
        """Ask whether an outage is over; then one job at a time has to show it."""
        async with self._probing:
            if self.outage is not None and anyio.current_time() - self._probed_at >= _FRESH_S:
                await self._probe()
                self.on_trial = self.outage is None

    def _is_settled(self, fresh_s: float) -> bool:
        fresh = anyio.current_time() - self._probed_at < fresh_s
        return self.outage is not None or self._failures == self._looked_at or fresh

    async def _probe(self) -> None:
        failures = self._failures
        error = await storeprobe.failure(self._store, self._bucket)
        self._probed_at, self._looked_at, self.on_trial = anyio.current_time(), failures, False
        if error is None:
            if self.outage is not None:
                log.info("store.back", away_s=round(self._clock.wall() - self.outage.since))
            self.outage, self.failed_probes = None, 0
            return
        self.failed_probes += 1
        self.outage = Outage(self.outage.since if self.outage else self._clock.wall(), error)
        report_away("store.away", away_s=self._clock.wall() - self.outage.since, error=error)

"""Whether the queue and the store answer, as everybody who asks them tells it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from thumbq.ports import Backend, Clock

_HICCUP_S: Final = 10.0
_OUTAGE_AFTER: Final = 3


class QueueHealth:
    """What receives, heartbeats and acks learn of the queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_received_since: float | None = None
        self._failed = False
        self.recovered = anyio.Event()
        """Set, and replaced by a new one, when a heartbeat or an ack is answered after others were not."""

    def received(self) -> None:
        """Note that a receive was answered."""
        self._not_received_since = None

    def receive_failed(self, asked_at: float) -> None:
        """Note that a receive was not answered that was asked for at this time."""
        if self._not_received_since is None:
            self._not_received_since = asked_at

    def answered(self) -> None:
        """Note that a heartbeat or an ack was answered."""
        if self._failed:
            self._failed = False
            self.recovered.set()
            self.recovered = anyio.Event()

    def failed(self) -> None:
        """Note that a heartbeat or an ack was not answered."""
        self._failed = True

    def not_receiving(self) -> str | None:
        """Say so when receives have failed for longer than a hiccup of the queue takes."""
        if self._not_received_since is None:
            return None
        failing_s = self._clock.monotonic() - self._not_received_since
        return f"the queue has not answered for {failing_s:.0f} s" if failing_s > _HICCUP_S else None


class StoreHealth:
    """What jobs learn of the store: one that fails for everybody is told from one that fails for a single key."""

    def __init__(self, backend: Backend) -> None:
        self._store = backend.store
        self._probe = ObjectRef(backend.bucket, keys.MANIFESTS_PREFIX)
        self.failures = 0
        """Attempts in a row that ended because the store did not answer, or would not."""

    def answered(self) -> None:
        """Note that a job has had all its answers."""
        self.failures = 0

    def failed(self) -> None:
        """Note that a job has ended because the store did not answer, or would not."""
        self.failures += 1

    @property
    def outage(self) -> bool:
        """Whether the store seems to fail for everybody."""
        return self.failures >= _OUTAGE_AFTER

    async def answers(self) -> bool:
        """Ask the store for something small; any answer will do."""
        try:
            await self._store.head(self._probe)
        except BackendUnavailable:
            return False
        except BackendError:
            return True
        return True

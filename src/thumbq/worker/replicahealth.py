"""The Health of a replica: what a restart would mend, what another replica does not have, and what is away for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.settings.queues import ONLY_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.jobs.storewatch import StoreWatch
    from thumbq.worker.consumers import Consumers
    from thumbq.worker.pausewatch import PauseWatch


class ReplicaHealth:
    """Answers from the start on; ``one_directory`` is whether store and queues are one local directory."""

    def __init__(self, stopping: Callable[[], bool], *, one_directory: bool) -> None:
        self._stopping = stopping
        self._one_directory = one_directory
        self._phase: str | None = "the service is starting"
        self._parts: tuple[Consumers, StoreWatch, PauseWatch] | None = None

    def watches(self, consumers: Consumers, store: StoreWatch, pauses: PauseWatch) -> None:
        """Answer by these from now on."""
        self._parts = consumers, store, pauses

    def started(self) -> None:
        """Note that the replica is at work."""
        self._phase = None

    def drains(self) -> None:
        """Note that the replica is on its way out."""
        self._phase = "the service is stopping"

    def stopping(self) -> bool:
        """Say whether the process is on its way out; see Health."""
        return self._stopping()

    def not_alive(self) -> str | None:
        """Say which loop has stopped, or what was replaced; see Health."""
        if self._parts is None:
            return None
        consumers, store, _ = self._parts
        return consumers.not_alive() or store.restart_needed()

    def not_ready(self) -> str | None:
        """Say why requests should go elsewhere; see Health."""
        return self._phase or self.not_alive() or self._cut_off()

    def away_since(self) -> dict[str, float | None]:
        """Return since when the store and the queues have been away; see Health."""
        if self._parts is None:
            return {}
        consumers, store, _ = self._parts
        queues = {_part(name): since for name, since in consumers.away_since().items()}
        return {"store": store.away_since(), **queues}

    def paused_since(self) -> dict[str, float | None]:
        """Return since when queues have been paused; see Health."""
        if self._parts is None:
            return {}
        consumers, _, pauses = self._parts
        known = pauses.paused()
        names = {_part(name): name or ONLY_QUEUE for name in consumers.away_since()}
        return {part: known[name].since for part, name in names.items() if name in known}

    def _cut_off(self) -> str | None:
        """Say so when neither S3 nor SQS answers.

        Either of them fails for all replicas. Both at once are rather the network or the credentials of this one.
        """
        if self._one_directory or None in (away := self.away_since()).values() or not away:
            return None
        return "neither the store nor the queue answers"


def _part(queue_name: str) -> str:
    """Return what a queue is called among the parts of a replica; ``queue_name`` is its name in the settings."""
    return f"queue {queue_name}" if queue_name else "queue"

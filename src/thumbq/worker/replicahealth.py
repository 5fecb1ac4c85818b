"""The Health of a replica: what a restart would mend, what another replica does not have, and what is away for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.jobs.storewatch import StoreWatch
    from thumbq.worker.consumers import Consumers


class ReplicaHealth:
    """Answers from the start on; ``one_directory`` is whether store and queues are one local directory."""

    def __init__(self, stopping: Callable[[], bool], *, one_directory: bool) -> None:
        self._stopping = stopping
        self._one_directory = one_directory
        self._phase: str | None = "the service is starting"
        self._parts: tuple[Consumers, StoreWatch] | None = None

    def watches(self, consumers: Consumers, store: StoreWatch) -> None:
        """Answer by these from now on."""
        self._parts = consumers, store

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
        consumers, store = self._parts
        return consumers.not_alive() or store.restart_needed()

    def not_ready(self) -> str | None:
        """Say why requests should go elsewhere; see Health."""
        return self._phase or self.not_alive() or self._cut_off()

    def away_since(self) -> dict[str, float | None]:
        """Return since when the store and the queues have been away; see Health."""
        if self._parts is None:
            return {}
        consumers, store = self._parts
        queues = {f"queue {name}" if name else "queue": since for name, since in consumers.away_since().items()}
        return {"store": store.away_since(), **queues}

    def _cut_off(self) -> str | None:
        """Say so when neither S3 nor SQS answers.

        Either of them fails for all replicas. Both at once are rather the network or the credentials of this one.
        """
        if self._one_directory or None in (away := self.away_since()).values() or not away:
            return None
        return "neither the store nor the queue answers"

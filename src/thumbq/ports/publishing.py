"""The port to what events are published to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from thumbq.core.jobevent import JobEvent


class EventTarget(Protocol):
    """A topic, a queue or a bus that is told of jobs that have ended."""

    async def send(self, event: JobEvent) -> str:
        """Publish an event and return the target's id of it. When this returns, it is durable.

        Raises BackendError.
        """
        ...

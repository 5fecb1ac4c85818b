"""The port to those who are told that a job has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest


class Announcer(Protocol):
    """Tells somebody of every job that has ended."""

    async def announce(self, manifest: Manifest, *, attempt: int) -> None:
        """Tell of the end that a stored manifest records. When this returns, the word is durable.

        ``attempt`` is which receive of the message it is, from 1 on.
        It may come again for the same end: after a kill, or when another announcer has failed. Raises BackendError
        when nobody can be told now: then the message comes back, and nothing is made again.
        """
        ...

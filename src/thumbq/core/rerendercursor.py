"""The cursor of a rerender: how far a run has come, kept in the store until it has come to the end."""

from __future__ import annotations

from typing import Literal

from thumbq.core.record import StoredRecord


class RerenderCursor(StoredRecord):
    """How far a run has come. Times are POSIX seconds, and stay those of the run's beginning."""

    version: Literal[1] = 1
    after: str = ""
    """All originals up to this key are queued."""
    doubtful: tuple[tuple[str, int, float], ...] = ()
    """Key, size and time of originals before it that may be queued: a kill came before the cursor was moved."""
    modified_before: float
    modified_after: float

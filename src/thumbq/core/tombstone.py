"""The tombstone: the record that a job was deleted. It says nothing of the job, and its key does not either."""

from __future__ import annotations

from typing import Final, Literal

from thumbq.core.record import StoredRecord

REMEMBERED_S: Final = 15 * 86_400.0
"""How long it is known that a job was deleted: longer than a message lasts, also on a dead-letter queue (14 days)."""

HOLD_S: Final = 30.0
"""How long after a deletion what attempts that were under way have stored is waited for, and removed."""

LOOK_AFTER_S: Final = 10.0
"""An attempt that takes longer looks for a tombstone once its manifest is put, since nobody waits for it.

Its fetch may have begun while the deletion was under way, which takes at most the rest of ``HOLD_S``.
"""

LATE_S: Final = 20.0
"""So does one whose original came so long after its form was signed: the form outlasts a deletion."""


class Tombstone(StoredRecord):
    """One deletion, or the latest of several of the same job."""

    version: Literal[1] = 1
    deleted_at: float
    """POSIX seconds."""

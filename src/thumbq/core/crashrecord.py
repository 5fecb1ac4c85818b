"""The crash record: what the store remembers of a job whose renders were killed."""

from __future__ import annotations

from typing import Final, Literal

from thumbq.core.record import StoredRecord

MAX_KILLS: Final = 2
"""A message is poison once so many of its renders were killed."""

MAX_ENDINGS: Final = 3
"""It is poison, too, once so many of its attempts ended by a kill or with the death of the whole replica.

One of those may have had another reason: a replica that is killed takes innocent renders along.
"""


class CrashRecord(StoredRecord):
    """How often a job's render was killed, and how often its replica vanished while it rendered.

    A record that is found ``open`` is of such a replica: nobody was left to record how the attempt ended.
    """

    version: Literal[1] = 1
    kills: int = 0
    vanished: int = 0
    open: bool = False
    code: str = "render-crashed"
    text: str = "the process that rendered it ended, and nothing says why"

    @property
    def quarantined(self) -> bool:
        """Whether the next attempt renders beside no other quarantined job."""
        return self.kills + self.vanished > 0

    @property
    def poison(self) -> bool:
        """Whether there is no further attempt."""
        return self.kills >= MAX_KILLS or self.kills + self.vanished >= MAX_ENDINGS

    def found(self) -> CrashRecord:
        """Return what a record means to the one who finds it."""
        return self.model_copy(update={"vanished": self.vanished + self.open, "open": False})

    def killed(self, code: str, text: str) -> CrashRecord:
        """Return the record after a render was killed."""
        return CrashRecord(kills=self.kills + 1, vanished=self.vanished, code=code, text=text)

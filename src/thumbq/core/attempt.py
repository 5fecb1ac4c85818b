"""The attempt record: what the store remembers of a message whose renders were killed."""

from __future__ import annotations

from typing import Final, Literal

from thumbq.core.record import StoredRecord

MAX_KILLS: Final = 2
"""A message that was seen to kill so many renders is buried."""

MAX_ENDINGS: Final = 3
"""So is one whose attempts ended so often by a kill or with the death of the whole process.

One of those may have had another reason: a replica that is killed takes innocent renders along.
"""


class AttemptRecord(StoredRecord):
    """How often a message has killed a render, and how often its process ended while it rendered.

    A record that is found ``open`` is of such an attempt: nobody was left to say how it ended.
    """

    version: Literal[1] = 1
    kills: int = 0
    vanished: int = 0
    open: bool = False
    code: str = "render-crashed"
    text: str = "the process that rendered it ended without a word"

    @property
    def suspect(self) -> bool:
        """Whether the next attempt should have no other suspect beside it."""
        return self.kills + self.vanished > 0

    @property
    def guilty(self) -> bool:
        """Whether there should be no further attempt."""
        return self.kills >= MAX_KILLS or self.kills + self.vanished >= MAX_ENDINGS

    def found(self) -> AttemptRecord:
        """Return what a record means to the one who finds it."""
        return self.model_copy(update={"vanished": self.vanished + self.open, "open": False})

    def killed(self, code: str, text: str) -> AttemptRecord:
        """Return the record after a render was killed."""
        return AttemptRecord(kills=self.kills + 1, vanished=self.vanished, code=code, text=text)

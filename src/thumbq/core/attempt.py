"""The attempt record: what the store remembers of a message whose renders were killed."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_RECORD_BYTES: Final = 1 << 16
MAX_KILLS: Final = 2
"""A message that has killed so many renders is buried."""


class AttemptRecord(BaseModel):
    """How many renders a message has killed so far; ``open`` while one is under way.

    A record that is found open is of an attempt that never ended: whatever it was, it took the whole process along.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    kills: int
    open: bool
    code: str = "render-crashed"
    text: str = "the process that rendered it ended without a word"

    @property
    def suspicion(self) -> int:
        """How many kills the next attempt has to reckon with."""
        return self.kills + self.open

    def encode(self) -> bytes:
        """Return the record as the bytes that are stored."""
        return self.model_dump_json().encode()


def decode(raw: bytes) -> AttemptRecord | None:
    """Read a stored record; None when it is damaged or of a version that this program does not know."""
    try:
        return AttemptRecord.model_validate_json(raw)
    except ValidationError:
        return None

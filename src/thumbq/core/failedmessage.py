"""The record of a message that failed and has no manifest of its own, or whose body its dead letter cannot hold."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from thumbq.core.manifest import ErrorRecord


class FailedMessage(BaseModel):
    """A message as it was received, and why it failed."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    status: Literal["failed"] = "failed"
    message_id: str
    receive_count: int
    body: str
    error: ErrorRecord
    finished_at: datetime

    def encode(self) -> bytes:
        """Return the record as the bytes that are stored."""
        return self.model_dump_json(indent=2).encode(errors="replace") + b"\n"


def decode(raw: bytes) -> FailedMessage | None:
    """Read a stored record; None when it is damaged or of a version that this program does not know."""
    try:
        return FailedMessage.model_validate_json(raw)
    except ValidationError:
        return None

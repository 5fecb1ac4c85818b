"""The record of a message that failed and has no manifest of its own, or whose body its dead letter cannot hold."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from thumbq.core.manifest import ErrorRecord
from thumbq.core.record import StoredRecord


class FailedMessage(StoredRecord):
    """A message as it was received, and why it failed."""

    INDENTED: ClassVar[bool] = True
    MAX_BYTES: ClassVar[int] = 8 << 20  # a body of 1 MiB may be six times as long in JSON

    version: Literal[1] = 1
    status: Literal["failed"] = "failed"
    message_id: str
    receive_count: int
    body: str
    error: ErrorRecord
    finished_at: datetime

"""The record that a queue is paused: as long as it is there, no replica receives from the queue."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from thumbq.core.record import StoredRecord


class PauseRecord(StoredRecord):
    """The pause of one queue."""

    version: Literal[1] = 1
    since: float = Field(description="POSIX seconds.")

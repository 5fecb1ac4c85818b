"""The record of a presigned upload: what is known of a job before its original is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import Field

from thumbq.core.record import StoredRecord


class PresignedRecord(StoredRecord):
    """One presigned upload. ``presets`` is None when they are left to the routes."""

    OMITS_NONE: ClassVar[bool] = True

    version: Literal[1] = 1
    expires_at: float = Field(description="POSIX seconds.")
    content_type: str
    max_bytes: int
    filename: str | None = None
    presets: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = None

    @property
    def expires(self) -> str:
        """The time of expiry in UTC, as RFC 3339 writes it."""
        return datetime.fromtimestamp(self.expires_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

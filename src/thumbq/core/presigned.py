"""The record of a form that was signed for a direct upload: what is known before the original is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import Field

from thumbq.core.record import StoredRecord


class PresignedRecord(StoredRecord):
    """One form. ``presets`` are those that it names; None when it leaves them to the routes."""

    OMITS_NONE: ClassVar[bool] = True

    version: Literal[1] = 1
    expires_at: float = Field(description="POSIX seconds.")
    content_type: str
    max_bytes: int
    filename: str | None = None
    presets: tuple[str, ...] | None = None

    @property
    def expires(self) -> str:
        """When the form ends, as RFC 3339 writes it, in UTC."""
        return datetime.fromtimestamp(self.expires_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

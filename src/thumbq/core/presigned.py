"""The record of a form that was signed for a direct upload: what is known before the original is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_RECORD_BYTES: Final = 1 << 16


class PresignedRecord(BaseModel):
    """One form. ``presets`` are those that it names; None when it leaves them to the routes."""

    model_config = ConfigDict(frozen=True)

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

    def encode(self) -> bytes:
        """Return the record as the bytes that are stored."""
        return self.model_dump_json(exclude_none=True).encode()


def decode(raw: bytes) -> PresignedRecord | None:
    """Read a stored record; None when it is damaged or of a version that this program does not know."""
    try:
        return PresignedRecord.model_validate_json(raw)
    except ValidationError:
        return None

"""Stored records: JSON objects of a version, which other versions of thumbq read too."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class StoredRecord(BaseModel):
    """Base of all records in the store.

    Within a version members may be added, and readers ignore those that they do not know. The version goes up when a
    member is removed or means something else. The layout of a record never changes: its class says whether the JSON is
    ``INDENTED``, and whether it ``OMITS_NONE``.
    """

    model_config = ConfigDict(frozen=True)

    INDENTED: ClassVar[bool] = False
    OMITS_NONE: ClassVar[bool] = False
    MAX_BYTES: ClassVar[int] = 1 << 16
    """A larger object is no record of this kind."""

    version: int

    def encode(self) -> bytes:
        """Return the record as the bytes that are stored."""
        text = self.model_dump_json(indent=2 if self.INDENTED else None, exclude_none=self.OMITS_NONE)
        return f"{text}\n".encode() if self.INDENTED else text.encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self | None:
        """Read a stored record; None when it is damaged or of a version that this program does not know."""
        try:
            return cls.model_validate_json(raw)
        except ValidationError:
            return None

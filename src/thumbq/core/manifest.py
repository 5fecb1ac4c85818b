"""The manifest: the JSON record of a job's outcome, one object beside each original."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from thumbq.core.job import ObjectRef
    from thumbq.core.preset import Preset

MANIFEST_VERSION: Final = 1
MAX_MANIFEST_BYTES: Final = 1 << 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class SourceRecord(_Record):
    """The original, as the attempt saw it."""

    bucket: str
    key: str
    etag: str | None = None
    bytes: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None


class RenditionRecord(_Record):
    """One rendition and what made it; ``etag`` in HTTP is the SHA-256."""

    bucket: str
    key: str
    width: int
    height: int
    bytes: int
    content_type: str
    sha256: str
    fingerprint: str


class ErrorRecord(_Record):
    """Why a job failed: a stable code and a sentence for people."""

    code: str
    message: str


class Manifest(_Record):
    """The outcome of a job. ``status`` is done or failed; a job without a manifest is queued."""

    version: Literal[1] = MANIFEST_VERSION
    status: Literal["done", "failed"]
    source: SourceRecord
    renditions: dict[str, RenditionRecord] = {}
    error: ErrorRecord | None = None
    message_id: str | None = None
    receive_count: int | None = None
    finished_at: datetime

    def encode(self) -> bytes:
        """Return the manifest as the bytes that are stored."""
        return self.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"

    def current(self, *, etag: str | None, fingerprints: dict[str, str]) -> dict[str, RenditionRecord]:
        """Return the renditions that need not be made again: same source, same recipe."""
        if etag is None or self.source.etag != etag:
            return {}
        return {
            name: record for name, record in self.renditions.items() if fingerprints.get(name) == record.fingerprint
        }


def rendition(
    preset: Preset, target: ObjectRef, *, body: bytes, width: int, height: int, content_type: str
) -> RenditionRecord:
    """Describe a rendition that is stored at ``target``."""
    return RenditionRecord(
        bucket=target.bucket,
        key=target.key,
        width=width,
        height=height,
        bytes=len(body),
        content_type=content_type,
        sha256=hashlib.sha256(body).hexdigest(),
        fingerprint=preset.fingerprint,
    )


def decode(raw: bytes) -> Manifest | None:
    """Read a stored manifest; None when it is damaged or of a version that this program does not know."""
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError:
        return None

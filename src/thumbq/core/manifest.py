"""The manifest: the JSON record of a job's outcome, one object beside each original.

``manifest.schema.json``, beside this module, is its JSON Schema.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thumbq.core.jobmetadata import JobMetadata
from thumbq.core.record import StoredRecord

MANIFEST_VERSION: Final = 2


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class SourceRecord(_Record):
    """The original, as far as the attempt came to know it."""

    bucket: str
    key: str
    etag: str | None = Field(default=None, description="The store's ETag of what was rendered.")
    bytes: int | None = Field(default=None, description="Size of the file.")
    content_type: str | None = Field(default=None, description="Media type that the original was stored with.")
    filename: str | None = Field(default=None, description="The client's name of the file, for people.")
    format: str | None = Field(
        default=None, description="JPEG, PNG, GIF, WEBP, AVIF, HEIF, TIFF or BMP; told by the first bytes."
    )
    width: int | None = Field(default=None, description="Pixels, upright.")
    height: int | None = Field(default=None, description="Pixels, upright.")
    frames: int | None = Field(default=None, description="More than 1 for an animation.")
    dominant_color: str | None = Field(
        default=None,
        description="#rrggbb in sRGB: the mean of the largest group of similar pixels. Absent when all is transparent.",
    )
    thumbhash: str | None = Field(
        default=None, description="ThumbHash in Base64: a blurred placeholder. See https://evanw.github.io/thumbhash/."
    )


class StepsRecord(_Record):
    """What was done to the original's pixels. What was not done is absent."""

    orientation: int = Field(
        default=1,
        description="EXIF orientation that was undone, 1 to 8. 1: the picture stood upright, or its decoder turned it.",
    )
    profile: str | None = Field(
        default=None,
        description="Which colour profile was converted to sRGB: `embedded`, or `default-cmyk` for CMYK without one."
        " Absent: the colours were taken as sRGB.",
    )
    flattened_on: str | None = Field(
        default=None, description="#rrggbb: the background that was put under transparent pixels."
    )
    frames_dropped: int = Field(default=0, description="Frames of an animation that the rendition does not have.")
    shrink_on_load: str | None = Field(
        default=None,
        description="What the decoder left out: `1/2`, `1/4` or `1/8` of a side, with `first-scans` or `dc-only` also"
        " the fine scans of a progressive JPEG, or all but the `embedded-thumbnail` of a HEIC.",
    )


class RenditionRecord(_Record):
    """One rendition: where it lies, what it is, and what made it."""

    bucket: str
    key: str
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    frames: int = Field(default=1, description="More than 1 for an animation.")
    bytes: int = Field(description="Size of the file.")
    content_type: str = Field(description="Media type.")
    sha256: str = Field(description="SHA-256 of the file, hexadecimal; over HTTP it is the ETag.")
    fingerprint: str = Field(description="Changes when the preset would give other bytes or another key.")
    steps: StepsRecord | None = Field(default=None, description="Absent when made before version 2.")


class ErrorRecord(_Record):
    """Why a job failed."""

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="A sentence, for people.")


class FailedRendition(ErrorRecord):
    """Why one preset of a job that is done was not made."""

    fingerprint: str = Field(description="As a rendition's.")


class TimesRecord(_Record):
    """How long the parts of the attempt took, in seconds. What is not known is absent."""

    waited_s: float | None = Field(
        default=None, description="From the send of the message to the attempt, and for a render process."
    )
    fetched_s: float | None = Field(default=None, description="For the original, and for memory to hold it.")
    rendered_s: float | None = Field(default=None, description="Until all renditions were made.")
    stored_s: float | None = Field(default=None, description="Until all of them were stored.")


class Manifest(StoredRecord):
    """The outcome of a job. A job without a manifest is queued, or was never sent."""

    model_config = ConfigDict(
        title="thumbq manifest",
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:thumbq:manifest:{MANIFEST_VERSION}",
        },
    )

    INDENTED: ClassVar[bool] = True
    OMITS_NONE: ClassVar[bool] = True
    MAX_BYTES: ClassVar[int] = 1 << 20

    version: Literal[2] = MANIFEST_VERSION
    status: Literal["done", "failed", "deleted"] = Field(
        description="`deleted` stands for half a minute in place of the manifest of a job that was deleted."
    )
    source: SourceRecord
    renditions: dict[str, RenditionRecord] = Field(
        default={}, description="By preset. A failed job has those that were made before and still hold."
    )
    failed: dict[str, FailedRendition] | None = Field(
        default=None, description="By preset: what was not made in a job that is done. Absent when nothing failed."
    )
    error: ErrorRecord | None = Field(default=None, description="Of a failed job.")
    callback_url: str | None = Field(default=None, description="Where the sender wants to be told of the outcome.")
    metadata: JobMetadata | None = Field(default=None)
    message_id: str | None = Field(default=None, description="The queue's id of the message that asked for the job.")
    receive_count: int | None = Field(default=None, description="How often that message had been received.")
    finished_at: datetime = Field(description="RFC 3339, UTC.")
    times: TimesRecord | None = Field(default=None, description="Of a job that is done. Absent in older manifests.")

    @field_validator("version", mode="before")
    @classmethod
    def _take_version_1(cls, version: object) -> object:
        """Version 1 had no frames, dominant colour, ThumbHash and steps; all of them may be unknown."""
        return MANIFEST_VERSION if version == 1 else version

    @property
    def recipes(self) -> dict[str, str]:
        """The fingerprints of all presets that were made, or failed in a job that is done."""
        failed = {name: record.fingerprint for name, record in (self.failed or {}).items()}
        return {name: record.fingerprint for name, record in self.renditions.items()} | failed

    def settled(self, *, etag: str | None, fingerprints: dict[str, str]) -> set[str]:
        """Return the presets that the message of this manifest need not try again: made, or failed for good."""
        same: dict[str, Any] = {"etag": etag, "fingerprints": fingerprints}
        return self.current(**same).keys() | self.still_failed(**same).keys()

    def still_failed(self, *, etag: str | None, fingerprints: dict[str, str]) -> dict[str, FailedRendition]:
        """Return what failed of the same source, by the same recipe."""
        if etag is None or self.source.etag != etag or self.failed is None:
            return {}
        return {name: record for name, record in self.failed.items() if fingerprints.get(name) == record.fingerprint}

    def current(self, *, etag: str | None, fingerprints: dict[str, str]) -> dict[str, RenditionRecord]:
        """Return the renditions that need not be made again: same source, same recipe."""
        if etag is None or self.source.etag != etag:
            return {}
        return {
            name: record for name, record in self.renditions.items() if fingerprints.get(name) == record.fingerprint
        }

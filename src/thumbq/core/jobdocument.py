"""A job as answers and callbacks show it: the models, which are also its schema.

A member that is not given is absent; one that is None is ``null``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from thumbq.core.jobmetadata import JobMetadata
from thumbq.core.manifest import StepsRecord, TimesRecord

Absent = SkipJsonSchema[None]
"""Of a member, field or parameter that may be left out, and is then never ``null``."""


class Document(BaseModel):
    """A document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def members(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return self.model_dump(exclude_unset=True)


JobId = Annotated[
    str, Field(description="Jobs are sorted by it, the newest first.", pattern=r"^[0-9abcdefghjkmnpqrstvwxyz]{26,27}$")
]
Url = Annotated[str, Field(description="Address of it.")]
Pixels = Annotated[int, Field(description="Pixels, upright.", ge=1)]
Size = Annotated[int, Field(description="Size of the file in bytes.", ge=0)]


class Original(Document):
    """What was uploaded. What a render finds out is there when the job is done."""

    filename: str | None = Field(description="The client's name of it, for people.")
    bytes: Size | None = None
    content_type: str | None = Field(default=None, description="Media type, told by the first bytes.")
    width: Pixels | None = None
    height: Pixels | None = None
    frames: int | None = Field(default=None, description="More than 1 for an animation.")
    dominant_color: str | None = Field(default=None, description="#rrggbb in sRGB. Null when all is transparent.")
    thumbhash: str | None = Field(default=None, description="ThumbHash in Base64: a blurred placeholder.")


class Rendition(Document):
    """One output of one preset. Before it is made there is its address only."""

    url: Url
    width: Pixels | Absent = None
    height: Pixels | Absent = None
    frames: int | Absent = Field(default=None, description="More than 1 for an animation.")
    bytes: Size | Absent = None
    content_type: str | Absent = Field(default=None, description="Media type.")
    sha256: str | Absent = Field(default=None, description="SHA-256 of the file, hexadecimal.")
    steps: StepsRecord | Absent = None


class Failure(Document):
    """Why something was not made."""

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="A sentence, for people.")


Status = Literal["awaiting-upload", "expired", "queued", "done", "failed"]


class Job(Document):
    """A job, as it is now."""

    id: JobId
    status: Status = Field(description="A job that is `done` or `failed` has ended.")
    url: Url
    original: Original | Absent = None
    renditions: dict[str, Rendition] = Field(description="By preset.")
    max_bytes: int | Absent = Field(default=None, description="Of a presigned upload: its largest file.")
    expires_at: str | Absent = Field(default=None, description="Of a presigned upload: its end, RFC 3339.")
    metadata: JobMetadata | Absent = None
    failed: dict[str, Failure] | Absent = Field(
        default=None, description="By preset: what could not be made in a job that is done."
    )
    error: Failure | Absent = Field(default=None, description="Of a failed job.")
    finished_at: str | Absent = Field(default=None, description="When it ended, RFC 3339.")
    times: TimesRecord | Absent = None

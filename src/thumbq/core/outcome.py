"""A job's outcome as callbacks tell of it: the models, which are also its schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from thumbq.core.jobdocument import Absent, Document, Failure, Job, Original, Pixels, Size
from thumbq.core.jobmetadata import JobMetadata


class StoredObject(Document):
    """Where an object lies in the store."""

    bucket: str
    key: str


class StoredRendition(StoredObject):
    """One output of one preset, of a job without an id."""

    width: Pixels | Absent = None
    height: Pixels | Absent = None
    frames: int | Absent = Field(default=None, description="More than 1 for an animation.")
    bytes: Size | Absent = None
    content_type: str | Absent = Field(default=None, description="Media type.")
    sha256: str | Absent = Field(default=None, description="SHA-256 of the file, hexadecimal.")


class JobByKey(Document):
    """A job that has no id, since its original came neither by an upload nor by a presigned one.

    It has no address: its members say where things lie in the store.
    """

    source: StoredObject = Field(description="The original.")
    status: Literal["done", "failed"]
    original: Original | Absent = None
    renditions: dict[str, StoredRendition] = Field(description="By preset.")
    metadata: JobMetadata | Absent = None
    failed: dict[str, Failure] | Absent = Field(
        default=None, description="By preset: what could not be made in a job that is done."
    )
    error: Failure | Absent = Field(default=None, description="Of a failed job.")


class Outcome(Document):
    """That a job has ended."""

    type: Literal["job.done", "job.failed"]
    timestamp: str = Field(description="When it ended, RFC 3339.", json_schema_extra={"format": "date-time"})
    data: Job | JobByKey = Field(description="The job as `GET /jobs/{id}` has it; by its key where it has no id.")

"""The models of answers: each makes the answer itself, and its schema in the OpenAPI document."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from aiohttp import hdrs, web
from pydantic import ConfigDict, Field

from thumbq.core.jobdocument import Absent, Document, Job, JobId, Rendition, Url
from thumbq.core.jobmetadata import JobMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping


_ETAG_CHARS: Final = 32


class Answer(Document):
    """A document that is answered, or a part of one."""

    @cached_property
    def text(self) -> str:
        """The JSON that is answered."""
        return json.dumps(self.members())

    @cached_property
    def etag(self) -> str:
        """Differs when the answer does."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_ETAG_CHARS]

    def response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Return it as an answer. No cache keeps it, unless ``headers`` say otherwise."""
        return web.Response(
            text=self.text,
            status=status,
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"} | dict(headers or {}),
        )


class Problem(Answer):
    """A problem (RFC 9457)."""

    type: str = Field(description="`urn:thumbq:problem:` and the code.")
    title: str
    status: int = Field(description="The HTTP status that it has by itself.", ge=400, le=599)
    detail: str = Field(description="What is wrong, and what to do.")
    code: str = Field(description="Stable, for programs.")


class ProblemAnswer(Problem):
    """A problem as an answer."""

    success: Literal[False]
    message: str = Field(description="As `detail`.")
    data: dict[str, Any] | Absent = Field(default=None, description="What there is to say besides.")


class Envelope(Answer):
    """What every answer has around its data."""

    success: bool
    message: str = Field(description="A sentence, for people.")


class JobAnswer(Envelope):
    """A job."""

    data: Job


class JobsFound(Answer):
    """Several jobs."""

    jobs: list[Job] = Field(description="In the order in which they were asked for, or the newest first.")
    unknown: list[str] | Absent = Field(default=None, description="Of what was asked for: what is no id of a job.")
    next: str | Absent = Field(default=None, description="`cursor` of the next page. Absent from the last one.")


class JobsAnswer(Envelope):
    """Several jobs."""

    data: JobsFound


class UnnamedFile(Answer):
    """A file that was refused."""

    filename: str | None


class RefusedFile(Answer):
    """A file that was not stored, and why."""

    original: UnnamedFile
    problem: Problem


class UploadedFiles(Answer):
    """What became of each file, in their order."""

    jobs: list[Job | RefusedFile]


class UploadAnswer(Envelope):
    """What became of an upload. ``success`` is false when a file was refused."""

    data: UploadedFiles


class SignedForm(Answer):
    """A form to post: its fields in their order, then the file as the part `file`."""

    method: Literal["POST"]
    url: Url
    fields: dict[str, str]


class PresignedUpload(Answer):
    """A presigned upload."""

    id: JobId
    status: Literal["awaiting-upload"]
    url: Url
    upload: SignedForm
    max_bytes: int = Field(description="Its largest file.")
    expires_at: str = Field(description="When it can be used no longer, RFC 3339.")
    renditions: dict[str, Rendition] = Field(description="By preset.")
    metadata: JobMetadata | Absent = None


class PresignedAnswer(Envelope):
    """A presigned upload."""

    data: PresignedUpload


class SentCallback(Answer):
    """A callback that is sent again."""

    webhook_id: str = Field(description="The same one as the first time.")


class CallbackAnswer(Envelope):
    """A callback that is sent again."""

    data: SentCallback


class HealthAnswer(Answer):
    """Healthy. Members besides say of the store and of each queue whether it is away or paused, and since when."""

    model_config = ConfigDict(frozen=True, extra="allow")

    status: Literal["ok"]

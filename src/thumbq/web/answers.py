"""The models of answers: each makes the answer itself, and its schema in the OpenAPI document.

A member that is not given is absent from the answer; one that is None is ``null``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping


class Answer(BaseModel):
    """A document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def members(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return self.model_dump(exclude_unset=True)

    def response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Return it as an answer. No cache keeps it, unless ``headers`` say otherwise."""
        return web.json_response(
            self.members(), status=status, headers={hdrs.CACHE_CONTROL: "no-store"} | dict(headers or {})
        )


JobId = Annotated[
    str, Field(description="Jobs are sorted by it, the newest first.", pattern=r"^[0-9abcdefghjkmnpqrstvwxyz]{26}$")
]
Url = Annotated[str, Field(description="Address of it.")]
Pixels = Annotated[int, Field(description="Pixels, upright.", ge=1)]
Size = Annotated[int, Field(description="Size of the file in bytes.", ge=0)]


class Original(Answer):
    """What was uploaded. What a render finds out is there when the job is done."""

    filename: str | None = Field(description="The client's name of it, for people.")
    bytes: Size | None = None
    content_type: str | None = Field(default=None, description="Media type, told by the first bytes.")
    width: Pixels | None = None
    height: Pixels | None = None
    frames: int | None = Field(default=None, description="More than 1 for an animation.")
    dominant_color: str | None = Field(default=None, description="#rrggbb in sRGB. Null when all is transparent.")
    thumbhash: str | None = Field(default=None, description="ThumbHash in Base64: a blurred placeholder.")


class Rendition(Answer):
    """One output of one preset. Before it is made there is its address only."""

    url: Url
    width: Pixels | None = None
    height: Pixels | None = None
    frames: int | None = Field(default=None, description="More than 1 for an animation.")
    bytes: Size | None = None
    content_type: str | None = Field(default=None, description="Media type.")
    sha256: str | None = Field(default=None, description="SHA-256 of the file, hexadecimal.")


class Failure(Answer):
    """Why something was not made."""

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="A sentence, for people.")


Status = Literal["awaiting-upload", "expired", "queued", "done", "failed"]


class Job(Answer):
    """A job, as it is now."""

    id: JobId
    status: Status = Field(description="A job that is `done` or `failed` has ended.")
    url: Url
    original: Original | None = None
    renditions: dict[str, Rendition] = Field(description="By preset.")
    max_bytes: int | None = Field(default=None, description="Of a presigned upload: its largest file.")
    expires_at: str | None = Field(default=None, description="Of a presigned upload: its end, RFC 3339.")
    failed: dict[str, Failure] | None = Field(
        default=None, description="By preset: what could not be made in a job that is done."
    )
    error: Failure | None = Field(default=None, description="Of a failed job.")


class Problem(Answer):
    """A problem (RFC 9457)."""

    type: str = Field(description="`urn:thumbq:problem:` and the code.")
    title: str
    status: int = Field(description="The HTTP status that it has by itself.", ge=400, le=599)
    detail: str = Field(description="What is wrong, and what to do.")
    code: str = Field(description="Stable, for programs.")


class ProblemAnswer(Problem):
    """A problem as an answer."""

    success: Literal[False] = False
    message: str = Field(description="As `detail`.")
    data: dict[str, Any] | None = Field(default=None, description="What there is to say besides.")


class Envelope(Answer):
    """What every answer has around its data."""

    success: bool
    message: str = Field(description="A sentence, for people.")


class JobAnswer(Envelope):
    """A job."""

    data: Job


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

    method: Literal["POST"] = "POST"
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


class PresignedAnswer(Envelope):
    """A presigned upload."""

    data: PresignedUpload


class HealthAnswer(Answer):
    """Healthy. Members besides say of the store and of each queue whether it is away, and since when."""

    model_config = ConfigDict(frozen=True, extra="allow")

    status: Literal["ok"] = "ok"

"""``POST /inbox``: takes presigned uploads for a store without an address of its own, as S3 does.

Fields come first, the part ``file`` after them; parts behind it are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from thumbq.core import keys
from thumbq.errors import UploadRefused
from thumbq.web.bodies import invite, running
from thumbq.web.fields import FILE, File
from thumbq.web.formreader import MAX_FIELDS, FormReader, FormTexts, check_encoding
from thumbq.web.jobs import deleted
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from aiohttp import BodyPartReader

_TEXTS: Final = FormTexts(
    not_multipart="Send multipart/form-data: the fields as they came, then the file.",
    incomplete="The form ends before the end of its file or is damaged; nothing was stored.",
    nested="A form inside the form is not taken.",
)
_MAX_FIELD_BYTES: Final = 20_000
"""For all fields together, as on S3 (Amazon S3 API Reference, "POST Object")."""


class PresignedForm(BaseModel):
    """The fields of a presigned upload as they came, and then the file. Metadata are fields besides."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": {"type": "string"}})

    key: str
    content_type: str = Field(alias="Content-Type")
    policy: str = Field(description="What was signed.")
    signature: str
    file: File


async def accept_presigned_upload(request: web.Request) -> web.Response:
    """Store an original as its policy says, and queue its job; 204, as from S3."""
    services = request.app[SERVICES]
    verifier = services.backend.presigned_verifier
    if verifier is None:
        raise UploadRefused("no-direct-uploads", "Forms are not posted here.")
    with running(request) as upload:
        reader = FormReader(request, upload, _TEXTS)
        await invite(request)
        fields, file = await _read_fields(reader)
        policy = verifier.verify(fields)
        job_id = keys.upload_id(policy.ref.key)
        structlog.contextvars.bind_contextvars(job_id=job_id or policy.ref.key)
        if job_id is not None and await services.states.is_deleted(job_id):
            raise deleted()
        body = await _read_file(reader, file, max_bytes=policy.max_bytes)
        await services.presigned.accept(policy, body, within_s=services.backend_timeout_s)
    return web.Response(status=204)


async def _read_fields(reader: FormReader) -> tuple[dict[str, str], BodyPartReader]:
    """Read all fields up to the file, which stays unread until they are verified."""
    fields: dict[str, str] = {}
    room = _MAX_FIELD_BYTES
    while (part := await reader.next()) is not None:
        name = reader.name(part).lower()
        if name == FILE:
            return fields, part
        if name in fields:
            raise UploadRefused("repeated-field", f'The field "{name[:100]}" is there twice.')
        value = await reader.read(part, max_bytes=room)
        if value is None or len(fields) == MAX_FIELDS:
            text = f"The form has more than {MAX_FIELDS} fields, or {_MAX_FIELD_BYTES} bytes of them."
            raise UploadRefused("too-many-fields", text)
        room -= len(value)
        fields[name] = value.decode(errors="replace")
    raise UploadRefused("no-file", f"The form has no part named {FILE}: it comes last, after the fields.")


async def _read_file(reader: FormReader, file: BodyPartReader, *, max_bytes: int) -> bytes:
    check_encoding(file)
    body = await reader.read(file, max_bytes=max_bytes)
    if body is None:
        raise UploadRefused("too-large", f"The file is larger than the {max_bytes} bytes that its form allows.")
    await reader.next()  # the boundary behind the file: without it, the file was cut off
    return body

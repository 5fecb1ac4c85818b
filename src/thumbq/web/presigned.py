"""``POST /uploads``: signs an upload that a client then stores itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from thumbq.core import callback, keys
from thumbq.core.formats import MEDIA_TYPES
from thumbq.core.jsonmembers import RepeatedMember, once_each
from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import UploadRefused
from thumbq.web.bodies import read, running
from thumbq.web.links import future_renditions, job_url
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Container

    from aiohttp import StreamReader

    from thumbq.intake.presigned import PresignedUpload
    from thumbq.web.admission import RunningUpload
    from thumbq.web.services import WebServices

MAX_BODY_BYTES: Final = 16 << 10
_EXAMPLE: Final = '{"content_type": "image/jpeg"}'

# RFC 9110, section 4.2: what an origin is made of; user names and paths have no place in Host.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def _known_media_type(text: str) -> str:
    if text.lower() not in MEDIA_TYPES:
        raise ValueError(f"it must be one of {', '.join(sorted(MEDIA_TYPES))}")
    return text.lower()


class _PresignRequest(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    content_type: Annotated[str, AfterValidator(_known_media_type)]
    filename: str | None = None
    presets: list[str] | None = Field(default=None, min_length=1)
    callback_url: Annotated[str, AfterValidator(callback.checked)] | None = None


async def presign_upload(request: web.Request) -> web.Response:
    """Answer the address and the fields of a presigned upload, and the address of its future job."""
    services = request.app[SERVICES]
    origin = _origin(request)
    with running(request) as upload:
        body = await _read(request.content, upload)
    wanted = _parse(body, services.catalog.presets)
    presigned = await services.presigned.presign(
        content_type=wanted.content_type,
        filename=wanted.filename,
        options=UploadOptions(presets=tuple(dict.fromkeys(wanted.presets or ())), callback_url=wanted.callback_url),
        within_s=services.backend_timeout_s,
    )
    return web.json_response(
        {
            "success": True,
            "message": "Post the fields, then the file, to the address of the upload",
            "data": _members(presigned, services, origin),
        },
        status=201,
        headers={hdrs.LOCATION: job_url(presigned.id), hdrs.CACHE_CONTROL: "no-store"},
    )


def _members(presigned: PresignedUpload, services: WebServices, origin: str) -> dict[str, Any]:
    url = presigned.post.url
    return {
        "id": presigned.id,
        "status": "awaiting-upload",
        "url": job_url(presigned.id),
        "upload": {
            "method": "POST",
            "url": origin + url if url.startswith("/") else url,
            "fields": dict(presigned.post.fields),
        },
        "max_bytes": presigned.record.max_bytes,
        "expires_at": presigned.record.expires,
        "renditions": future_renditions(services.catalog, keys.inbox_key(presigned.id), presigned.record.presets),
    }


def _origin(request: web.Request) -> str:
    host = request.headers.get(hdrs.HOST, "")
    if not _HOST.fullmatch(host):
        raise UploadRefused("bad-host", "The request needs a header Host with a name and a port.")
    return f"{request.scheme}://{host}"


async def _read(content: StreamReader, upload: RunningUpload) -> bytes:
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        more = content.read(MAX_BODY_BYTES + 1 - len(body))
        chunk = await read(upload, more, what="request", if_broken="The body ends early or is damaged.")
        if not chunk:
            return body
        body += chunk
    raise UploadRefused("too-large", f"The request is larger than {MAX_BODY_BYTES} bytes.")


def _parse(body: bytes, presets: Container[str]) -> _PresignRequest:
    try:
        document = json.loads(body, object_pairs_hook=once_each)
    except RepeatedMember as error:
        raise _wrong_member(error.name, "it stands there twice") from error
    except (ValueError, RecursionError) as error:
        text = f"The body is no JSON ({error}). Send an object, for example: {_EXAMPLE}"
        raise UploadRefused("invalid-json", text) from error
    if not isinstance(document, dict):
        raise UploadRefused("invalid-json", f"The body must be a JSON object, for example: {_EXAMPLE}")
    members = _PresignRequest.model_fields
    for name in document:
        if name not in members:
            raise _wrong_member(name, f"there is no such member; there are {', '.join(members)}")
    try:
        wanted = _PresignRequest.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise _wrong_member(str(fault["loc"][0]), _reason(fault)) from error
    for name in wanted.presets or ():
        if name not in presets:
            raise _wrong_member("presets", f"there is no preset {name!r}")
    return wanted


def _reason(fault: Any) -> str:
    if fault["type"] == "missing":
        return f"it is missing, for example: {_EXAMPLE}"
    return str(fault["ctx"]["error"] if fault["type"] == "value_error" else fault["msg"])


def _wrong_member(name: str, reason: str) -> UploadRefused:
    return UploadRefused("invalid-member", f'The member "{name[:100]}" is wrong: {reason}.')

"""``POST /uploads``: a form with which a client stores an original itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from aiohttp import hdrs, web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from thumbq.core import callback, keys
from thumbq.core.formats import MEDIA_TYPES
from thumbq.core.uploadoptions import UploadOptions
from thumbq.web.jobs import job_url, renditions_to_come
from thumbq.web.parts import BROKEN_BODY
from thumbq.web.problems import HttpProblem, ProblemRaised
from thumbq.web.services import SERVICES, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Container

    from thumbq.intake.presigned import Offer
    from thumbq.web.services import WebServices

MAX_BODY_BYTES: Final = 16 << 10
_EXAMPLE: Final = '{"content_type": "image/jpeg"}'

# RFC 9110, section 4.2: what an origin is made of; user names and paths have no place in Host.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def _taken_media_type(text: str) -> str:
    if text.lower() not in MEDIA_TYPES:
        raise ValueError(f"it must be one of {', '.join(sorted(MEDIA_TYPES))}")
    return text.lower()


class _Wish(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    content_type: Annotated[str, AfterValidator(_taken_media_type)]
    filename: str | None = None
    presets: list[str] | None = Field(default=None, min_length=1)
    callback_url: Annotated[str, AfterValidator(callback.checked)] | None = None


async def presign_upload(request: web.Request) -> web.Response:
    """Answer a form, and where the job that its use will bring is to be looked for."""
    services = request.app[SERVICES]
    if services.direct is None:
        text = "This service has no direct uploads: send the file to /upload."
        raise ProblemRaised(HttpProblem(404, "no-direct-uploads", text))
    origin = _origin(request)
    wish = _wish(await _body(request, services), services.catalog.presets)
    offer = await services.direct.offer(
        content_type=wish.content_type,
        filename=wish.filename,
        asked=UploadOptions(presets=tuple(dict.fromkeys(wish.presets or ())), callback_url=wish.callback_url),
        within_s=services.backend_timeout_s,
    )
    return web.json_response(
        {
            "success": True,
            "message": "Post the fields, then the file, to the address of the upload",
            "data": _members(offer, services, origin),
        },
        status=201,
        headers={hdrs.LOCATION: job_url(offer.id), hdrs.CACHE_CONTROL: "no-store"},
    )


def _members(offer: Offer, services: WebServices, origin: str) -> dict[str, Any]:
    url = offer.form.url
    return {
        "id": offer.id,
        "status": "awaiting-upload",
        "url": job_url(offer.id),
        "upload": {
            "method": "POST",
            "url": origin + url if url.startswith("/") else url,
            "fields": dict(offer.form.fields),
        },
        "max_bytes": offer.record.max_bytes,
        "expires_at": offer.record.expires,
        "renditions": renditions_to_come(services, keys.inbox_key(offer.id), offer.record.presets),
    }


def _origin(request: web.Request) -> str:
    host = request.headers.get(hdrs.HOST, "")
    if not _HOST.fullmatch(host):
        raise ProblemRaised(HttpProblem(400, "bad-host", "The request needs a header Host with a name and a port."))
    return f"{request.scheme}://{host}"


async def _body(request: web.Request, services: WebServices) -> bytes:
    body = b""
    stall_s = services.limits.stall_timeout_s
    try:
        while len(body) <= MAX_BODY_BYTES:
            with request.app[UPLOADS].waiting(at_most_s=stall_s):
                chunk = await request.content.read(MAX_BODY_BYTES + 1 - len(body))
            if not chunk:
                return body
            body += chunk
    except TimeoutError:
        text = f"No byte of the request came for {stall_s:g} seconds."
        raise ProblemRaised(HttpProblem(408, "upload-stalled", text)) from None
    except BROKEN_BODY:
        raise ProblemRaised(HttpProblem(400, "incomplete-body", "The body ends early or is damaged.")) from None
    raise ProblemRaised(HttpProblem(413, "too-large", f"The request is larger than {MAX_BODY_BYTES} bytes."))


def _wish(body: bytes, presets: Container[str]) -> _Wish:
    try:
        document = json.loads(body, object_pairs_hook=_once_each)
    except _Repeated as error:
        raise _wrong_member(error.args[0], "it stands there twice") from error
    except (ValueError, RecursionError) as error:
        text = f"The body is no JSON ({error}). Send an object, for example: {_EXAMPLE}"
        raise ProblemRaised(HttpProblem(400, "invalid-json", text)) from error
    if not isinstance(document, dict):
        text = f"The body must be a JSON object, for example: {_EXAMPLE}"
        raise ProblemRaised(HttpProblem(400, "invalid-json", text))
    for name in document:
        if name not in _Wish.model_fields:
            raise _wrong_member(name, f"there is no such member; there are {', '.join(_Wish.model_fields)}")
    try:
        wish = _Wish.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise _wrong_member(str(fault["loc"][0]), _reason(fault)) from error
    for name in wish.presets or ():
        if name not in presets:
            raise _wrong_member("presets", f"there is no preset {name!r}")
    return wish


class _Repeated(Exception):
    """A member stands in an object twice; ``args`` has its name."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _Repeated(name)
        members[name] = value
    return members


def _reason(fault: Any) -> str:
    if fault["type"] == "missing":
        return f"it is missing, for example: {_EXAMPLE}"
    return str(fault["ctx"]["error"] if fault["type"] == "value_error" else fault["msg"])


def _wrong_member(name: str, reason: str) -> ProblemRaised:
    return ProblemRaised(HttpProblem(400, "invalid-member", f'The member "{name[:100]}" is wrong: {reason}.'))

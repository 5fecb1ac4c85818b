"""``POST /uploads``: signs an upload that a client then stores itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from aiohttp import hdrs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from thumbq.core import callback, jobmetadata, keys
from thumbq.core.formats import MEDIA_TYPES
from thumbq.core.jobmetadata import JobMetadata
from thumbq.core.origin import Authority
from thumbq.core.uploadoptions import UploadOptions
from thumbq.errors import UploadRefused
from thumbq.intake.keyedupload import presign_once
from thumbq.jobdocuments import future_renditions
from thumbq.web import idempotency
from thumbq.web.answers import PresignedAnswer, PresignedUpload, SignedForm
from thumbq.web.door import DOOR
from thumbq.web.jsonbody import read_json, wrong_member
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from aiohttp import web

    from thumbq.intake.keyedupload import Key
    from thumbq.intake.presigned import PresignedUpload as Presigned
    from thumbq.web.services import WebServices

_EXAMPLE: Final = '{"content_type": "image/jpeg"}'


def _checked(metadata: dict[str, str]) -> dict[str, str]:
    jobmetadata.check(metadata)
    return metadata


def _known_media_type(text: str) -> str:
    if text.lower() not in MEDIA_TYPES:
        raise ValueError(f"it must be one of {', '.join(sorted(MEDIA_TYPES))}")
    return text.lower()


class PresignRequest(BaseModel):
    """What a presigned upload is asked for with."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"content_type": "image/jpeg", "filename": "photo.jpg"}]},
    )

    content_type: Annotated[str, AfterValidator(_known_media_type)] = Field(
        description="Media type of the file.", json_schema_extra={"enum": [*sorted(MEDIA_TYPES)]}
    )
    filename: str | None = Field(default=None, description="The client's name of the file.")
    presets: list[str] | None = Field(default=None, min_length=1, description="Names of presets.")
    callback_url: Annotated[str, AfterValidator(callback.checked)] | None = Field(
        default=None, description="Address that is told of the outcome."
    )
    metadata: Annotated[JobMetadata, AfterValidator(_checked)] = Field(default_factory=dict)


async def presign_upload(request: web.Request) -> web.Response:
    """Answer the address and the fields of a presigned upload, and the address of its future job."""
    services, key = request.app[SERVICES], idempotency.key_of(request)
    origin = _origin(request)
    wanted = await read_json(request, PresignRequest, example=_EXAMPLE)
    for name in wanted.presets or ():
        if name not in services.catalog.presets:
            raise wrong_member("presets", f"there is no preset {name!r}")
    presigned, replayed = await _sign(wanted, services, key)
    answer = PresignedAnswer(
        success=True,
        message="Post the fields, then the file, to the address of the upload",
        data=_document(presigned, services, origin),
    )
    headers = {hdrs.LOCATION: services.links.job(presigned.id)}
    return answer.response(201, headers | idempotency.replayed(replayed=replayed))


async def _sign(wanted: PresignRequest, services: WebServices, key: Key | None) -> tuple[Presigned, bool]:
    """Return a presigned upload, and whether it was signed before under this key."""
    asked: dict[str, Any] = {
        "content_type": wanted.content_type,
        "filename": wanted.filename,
        "options": UploadOptions(
            presets=tuple(dict.fromkeys(wanted.presets or ())),
            callback_url=wanted.callback_url,
            metadata=wanted.metadata,
        ),
        "within_s": services.backend_timeout_s,
    }
    if key is None:
        return await services.presigned.presign(**asked), False
    return await presign_once(key, services.presigned, **asked)


def _document(presigned: Presigned, services: WebServices, origin: str) -> PresignedUpload:
    url = presigned.post.url
    return PresignedUpload(
        id=presigned.id,
        status="awaiting-upload",
        url=services.links.job(presigned.id),
        upload=SignedForm(
            method="POST",
            url=origin + url if url.startswith("/") else url,
            fields=dict(presigned.post.fields),
        ),
        max_bytes=presigned.record.max_bytes,
        expires_at=presigned.record.expires,
        renditions=future_renditions(
            services.catalog, services.links, keys.inbox_key(presigned.id), presigned.record.presets
        ),
        **({} if presigned.record.metadata is None else {"metadata": presigned.record.metadata}),
    )


def _origin(request: web.Request) -> str:
    if base := request.app[SERVICES].links.base:
        return base
    host = request.headers.get(hdrs.HOST, "")
    if Authority.parse(host) is None:
        raise UploadRefused("bad-host", "The request needs a header Host with a name and a port.")
    return f"{request.app[DOOR].proxies.scheme(request)}://{host}"

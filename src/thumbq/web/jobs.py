"""What became of an upload, and its renditions. Any replica can answer: all of it is read from the store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from thumbq.core import filenames, keys
from thumbq.core.formats import ImageFormat
from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing, ObjectTooLarge
from thumbq.web.jobstate import JobState, find
from thumbq.web.problems import HttpProblem, ProblemRaised
from thumbq.web.services import SERVICES, WebServices, in_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thumbq.core.manifest import Manifest, RenditionRecord
    from thumbq.core.preset import Preset

_NOT_READY_RETRY_AFTER_S: Final = 1


def job_url(job_id: str) -> str:
    """Return the path of a job."""
    return f"/jobs/{job_id}"


def renditions_to_come(services: WebServices, source_key: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    """Return where the renditions of an upload will be: of the presets that are ``wanted``, or the routes'."""
    if wanted is None:
        presets: Iterable[Preset] = services.catalog.presets_for(source_key)
    else:
        presets = [services.catalog.presets[name] for name in wanted if name in services.catalog.presets]
    job_id = keys.upload_id(source_key) or ""
    return {preset.name: {"url": _rendition_url(job_id, preset.name)} for preset in presets}


@in_time
async def get_job(request: web.Request) -> web.Response:
    """Answer a job's state: awaiting-upload, expired, queued, done or failed."""
    services, job_id = request.app[SERVICES], _job_id(request)
    traces = await find(services, job_id, original_too=True)
    if traces is None:
        raise _no_job()
    record = traces.manifest
    job: dict[str, Any] = {
        "id": job_id,
        "status": traces.status,
        "url": job_url(job_id),
        "original": _original_members(traces),
        "renditions": renditions_to_come(services, traces.key, traces.wanted)
        if record is None
        else {name: _rendition_members(job_id, name, made) for name, made in record.renditions.items()},
    }
    if traces.form is not None:
        job |= {"max_bytes": traces.form.max_bytes, "expires_at": traces.form.expires}
    if record is not None and record.error is not None:
        job["error"] = {"code": record.error.code, "message": record.error.message}
    return web.json_response(
        {"success": True, "message": f"The job is {job['status']}", "data": job},
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


@in_time
async def get_rendition(request: web.Request) -> web.Response:
    """Answer a rendition's bytes, which the client may keep: for good, unless the original can be replaced."""
    services, job_id, preset = request.app[SERVICES], _job_id(request), request.match_info["preset"]
    traces = await find(services, job_id, original_too=False)
    made = None if traces is None or traces.manifest is None else traces.manifest.renditions.get(preset)
    if traces is None or made is None:
        raise ProblemRaised(_why_not_made(services, preset, traces))
    keeping = "public, no-cache" if traces.direct else "public, max-age=31536000, immutable"
    headers = {hdrs.ETAG: f'"{made.sha256}"', hdrs.CACHE_CONTROL: keeping}
    if any(etag.value in {made.sha256, "*"} for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if request.method == hdrs.METH_HEAD:
        headers[hdrs.CONTENT_LENGTH] = str(made.bytes)
    body = await _rendition(services, made, with_body=request.method != hdrs.METH_HEAD)
    return web.Response(body=body, content_type=made.content_type, headers=headers)


async def _rendition(services: WebServices, made: RenditionRecord, *, with_body: bool) -> bytes | None:
    """Read a rendition, or only see that it is there. A job done again may be about to replace it."""
    ref, store = ObjectRef(made.bucket, made.key), services.backend.store
    try:
        info, body = await store.get(ref, max_bytes=made.bytes) if with_body else (await store.head(ref), None)
        # By its size alone a picture of a job that is being done again could pass for the one in the manifest.
        if info.size == made.bytes and (body is None or hashlib.sha256(body).hexdigest() == made.sha256):
            return body
    except (ObjectMissing, ObjectTooLarge):
        pass
    raise _not_found("rendition-missing", "The rendition is not in the store as it was made.")


def _why_not_made(services: WebServices, preset: str, traces: JobState | None) -> HttpProblem:
    if traces is None:
        return _no_job().problem
    if preset not in services.catalog.presets:
        return HttpProblem(404, "unknown-preset", "There is no preset of this name.")
    if traces.form is not None:
        text = (
            "The original has not come, and its form has expired." if traces.expired else "The original has not come."
        )
        return HttpProblem(404, traces.status, text)
    record = traces.manifest
    if record is None:
        text = "The rendition is not made yet. Try again in a moment."
        return HttpProblem(404, "not-ready", text, retry_after_s=_NOT_READY_RETRY_AFTER_S)
    if record.error is not None:
        return HttpProblem(404, "job-failed", f"The job failed ({record.error.code}): {record.error.message}")
    return HttpProblem(404, "not-made", "The job is done, but this preset was not asked for.")


def _job_id(request: web.Request) -> str:
    job_id = request.match_info["id"]
    if not keys.is_id(job_id):
        raise _no_job()
    return job_id


def _original_members(traces: JobState) -> dict[str, Any]:
    info, record = traces.original, traces.manifest
    members: dict[str, Any] = {}
    if traces.form is not None:
        members = {"filename": traces.form.filename, "bytes": None, "content_type": traces.form.content_type}
    elif info is not None:
        members = {
            "filename": filenames.decode(info.metadata),
            "bytes": info.size,
            "content_type": info.content_type,
        }
    elif record is not None:
        members = {"filename": None, "bytes": record.source.bytes, "content_type": _content_type(record)}
    if record is not None:
        found = record.source
        members |= {"width": found.width, "height": found.height, "frames": found.frames}
        members |= {"dominant_color": found.dominant_color, "thumbhash": found.thumbhash}
    return members


def _content_type(record: Manifest) -> str | None:
    name = record.source.format
    return ImageFormat[name].content_type if name is not None and name in ImageFormat.__members__ else None


def _rendition_members(job_id: str, preset: str, made: RenditionRecord) -> dict[str, Any]:
    return {
        "url": _rendition_url(job_id, preset),
        "width": made.width,
        "height": made.height,
        "frames": made.frames,
        "bytes": made.bytes,
        "content_type": made.content_type,
        "sha256": made.sha256,
    }


def _rendition_url(job_id: str, preset: str) -> str:
    return f"{job_url(job_id)}/{preset}"


def _no_job() -> ProblemRaised:
    return _not_found("no-job", "There is no job with this id.")


def _not_found(code: str, detail: str) -> ProblemRaised:
    return ProblemRaised(HttpProblem(404, code, detail))

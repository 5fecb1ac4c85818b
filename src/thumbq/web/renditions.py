"""``GET /jobs/{id}/{preset}``: a rendition, read from the store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing, ObjectTooLarge
from thumbq.web.jobs import deleted, job_id_of, no_job
from thumbq.web.problems import HttpProblem, ProblemRaised, not_found
from thumbq.web.services import SERVICES, WebServices, in_time

if TYPE_CHECKING:
    from thumbq.core.manifest import Manifest, RenditionRecord
    from thumbq.jobdocuments import JobState

_NOT_READY_RETRY_AFTER_S: Final = 1
_ANYWHERE: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""A rendition may be shown by any site, and does nothing when it is opened by itself."""


async def get_rendition(request: web.Request) -> web.Response:
    """Answer a rendition's bytes. Clients may cache them: for good, unless the original is replaceable."""
    services, job_id, preset = request.app[SERVICES], job_id_of(request), request.match_info["preset"]
    with in_time(services):
        state = await services.states.find(job_id, with_original=False)
        try:
            return await _rendition_answer(request, services, state, preset)
        except ProblemRaised:
            if state is None or not state.remembered:
                raise
        state = await services.states.find(job_id, with_original=False, fresh=True)
        return await _rendition_answer(request, services, state, preset)


async def _rendition_answer(
    request: web.Request, services: WebServices, state: JobState | None, preset: str
) -> web.Response:
    record = None if state is None or state.manifest is None else state.manifest.renditions.get(preset)
    if state is None or record is None:
        raise ProblemRaised(_why_missing(services, preset, state))
    shared = "public" if services.access.renditions_are_public else "private"
    caching = f"{shared}, no-cache" if state.replaceable else f"{shared}, max-age=31536000, immutable"
    headers = {hdrs.ETAG: f'"{record.sha256}"', hdrs.CACHE_CONTROL: caching, **_ANYWHERE}
    if any(etag.value in {record.sha256, "*"} for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if request.method == hdrs.METH_HEAD:
        headers[hdrs.CONTENT_LENGTH] = str(record.bytes)
    body = await _rendition(services, record, with_body=request.method != hdrs.METH_HEAD)
    return web.Response(body=body, content_type=record.content_type, headers=headers)


async def _rendition(services: WebServices, record: RenditionRecord, *, with_body: bool) -> bytes | None:
    """Read a rendition, or only check that it is there. A job done again may be about to replace it."""
    ref, store = ObjectRef(record.bucket, record.key), services.backend.store
    try:
        info, body = await store.get(ref, max_bytes=record.bytes) if with_body else (await store.head(ref), None)
        # By its size alone a picture of a job that is being done again could pass for the one in the manifest.
        if info.size in {None, record.bytes} and (body is None or hashlib.sha256(body).hexdigest() == record.sha256):
            return body
    except (ObjectMissing, ObjectTooLarge):
        pass
    raise ProblemRaised(not_found("rendition-missing", "The rendition is not in the store as it was made."))


def _why_missing(services: WebServices, preset: str, state: JobState | None) -> HttpProblem:
    if state is None:
        return no_job().problem
    if state.deleted:
        return deleted().problem
    if preset not in services.catalog.presets:
        return not_found("unknown-preset", "There is no preset of this name.")
    if state.presigned is not None:
        text = "The original has not come, and its form has expired." if state.expired else "The original has not come."
        return not_found(state.status, text)
    manifest = state.manifest
    if manifest is None:
        text = "The rendition is not made yet. Try again in a moment."
        return not_found("not-ready", text, retry_after_s=_NOT_READY_RETRY_AFTER_S)
    return _why_not_made(manifest, preset)


def _why_not_made(manifest: Manifest, preset: str) -> HttpProblem:
    if manifest.error is not None:
        return not_found("job-failed", f"The job failed ({manifest.error.code}): {manifest.error.message}")
    failed = (manifest.failed or {}).get(preset)
    if failed is not None:
        return not_found("preset-failed", f"This preset failed ({failed.code}): {failed.message}")
    return not_found("not-made", "The job is done, but this preset was not asked for.")

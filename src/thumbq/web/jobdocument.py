"""A job as answers have it, made of its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thumbq.core import filenames
from thumbq.core.formats import ImageFormat
from thumbq.web.answers import Failure, Job, Original, Rendition
from thumbq.web.links import future_renditions, job_url, rendition_url

if TYPE_CHECKING:
    from thumbq.core.catalog import Catalog
    from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord
    from thumbq.web.jobstate import JobState


def document(job_id: str, state: JobState, catalog: Catalog) -> Job:
    """Return a job. What there is not to say of it is absent."""
    manifest, presigned = state.manifest, state.presigned
    members: dict[str, Any] = {}
    if presigned is not None:
        members |= {"max_bytes": presigned.max_bytes, "expires_at": presigned.expires}
    if manifest is not None and manifest.failed:
        members["failed"] = {name: _failure(record) for name, record in manifest.failed.items()}
    if manifest is not None and manifest.error is not None:
        members["error"] = _failure(manifest.error)
    return Job(
        id=job_id,
        status=state.status,
        url=job_url(job_id),
        original=_original(state),
        renditions=future_renditions(catalog, state.key, state.presets)
        if manifest is None
        else {name: _rendition(job_id, name, record) for name, record in manifest.renditions.items()},
        **members,
    )


def _failure(record: ErrorRecord) -> Failure:
    return Failure(code=record.code, message=record.message)


def _original(state: JobState) -> Original:
    info, manifest, presigned = state.original, state.manifest, state.presigned
    members: dict[str, Any] = {}
    if presigned is not None:
        members = {"filename": presigned.filename, "bytes": None, "content_type": presigned.content_type}
    elif info is not None:
        members = {
            "filename": filenames.decode(info.metadata),
            "bytes": info.size,
            "content_type": info.content_type,
        }
    elif manifest is not None:
        source = manifest.source
        content_type = source.content_type or _content_type(manifest)
        members = {"filename": source.filename, "bytes": source.bytes, "content_type": content_type}
    if manifest is not None:
        found = manifest.source
        members |= {"width": found.width, "height": found.height, "frames": found.frames}
        members |= {"dominant_color": found.dominant_color, "thumbhash": found.thumbhash}
    return Original(**members)


def _content_type(manifest: Manifest) -> str | None:
    name = manifest.source.format
    return ImageFormat[name].content_type if name is not None and name in ImageFormat.__members__ else None


def _rendition(job_id: str, preset: str, record: RenditionRecord) -> Rendition:
    return Rendition(
        url=rendition_url(job_id, preset),
        width=record.width,
        height=record.height,
        frames=record.frames,
        bytes=record.bytes,
        content_type=record.content_type,
        sha256=record.sha256,
    )

"""The state of a job, and the document that is made of it: for all who show jobs to people outside."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from thumbq.core import filenames, jobmetadata, keys, objectmetadata
from thumbq.core.formats import ImageFormat
from thumbq.core.job import ObjectRef
from thumbq.core.jobdocument import Failure, Job, Original, Rendition
from thumbq.core.outcome import JobByKey, Outcome, StoredObject, StoredRendition
from thumbq.errors import ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thumbq.core.catalog import Catalog
    from thumbq.core.jobdocument import Status
    from thumbq.core.links import Links
    from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, StepsRecord, TimesRecord
    from thumbq.core.preset import Preset
    from thumbq.core.presigned import PresignedRecord
    from thumbq.ports import ObjectInfo, ObjectStore

R = TypeVar("R", "StepsRecord", "TimesRecord")


@dataclass(frozen=True, slots=True)
class JobState:
    """Everything that the store has of a job. ``key`` is its original's; a client may replace a ``replaceable`` one.

    ``presigned`` is there only as long as nothing else is.
    """

    key: str
    replaceable: bool
    manifest: Manifest | None = None
    original: ObjectInfo | None = None
    presigned: PresignedRecord | None = None
    expired: bool = False
    deleted: bool = False
    """Then nothing else is known of it."""
    remembered: bool = False
    """Whether the manifest was read a moment ago, and may have been replaced since."""

    @property
    def status(self) -> Status:
        """The job's status in answers."""
        if self.presigned is not None:
            return "expired" if self.expired else "awaiting-upload"
        if self.manifest is None or self.manifest.status == "deleted":
            return "queued"
        return self.manifest.status

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come of the job."""
        return self.deleted or self.status in {"done", "failed", "expired"}

    @property
    def presets(self) -> Sequence[str] | None:
        """The presets that the upload names; None when it leaves them to the routes."""
        if self.presigned is not None:
            return self.presigned.presets
        return None if self.original is None else objectmetadata.presets(self.original.metadata)

    @property
    def metadata(self) -> dict[str, str] | None:
        """The sender's own metadata; None when there is none."""
        if self.presigned is not None:
            return self.presigned.metadata
        if self.original is not None:
            return jobmetadata.decode(self.original.metadata)
        return None if self.manifest is None else self.manifest.metadata


def future_renditions(
    catalog: Catalog, links: Links, source_key: str, names: Sequence[str] | None
) -> dict[str, Rendition]:
    """Return links to the renditions of an upload: of the presets with these names, or of the routes'."""
    if names is None:
        presets: Iterable[Preset] = catalog.presets_for(source_key)
    else:
        presets = [catalog.presets[name] for name in names if name in catalog.presets]
    job_id = keys.upload_id(source_key) or ""
    return {preset.name: Rendition(url=links.rendition(job_id, preset.name)) for preset in presets}


def job_document(job_id: str, state: JobState, catalog: Catalog, links: Links) -> Job:
    """Return a job. What there is not to say of it is absent."""
    manifest, presigned = state.manifest, state.presigned
    members: dict[str, Any] = {}
    if presigned is not None:
        members |= {"max_bytes": presigned.max_bytes, "expires_at": presigned.expires}
    if state.metadata is not None:
        members["metadata"] = state.metadata
    if manifest is not None and manifest.failed:
        members["failed"] = {name: _failure(record) for name, record in manifest.failed.items()}
    if manifest is not None and manifest.error is not None:
        members["error"] = _failure(manifest.error)
    if manifest is not None:
        members["finished_at"] = manifest.finished_at.isoformat().replace("+00:00", "Z")
    if manifest is not None and manifest.times is not None:
        members["times"] = _as_stored(manifest.times)
    return Job(
        id=job_id,
        status=state.status,
        url=links.job(job_id),
        original=_original(state),
        renditions=future_renditions(catalog, links, state.key, state.presets)
        if manifest is None
        else {name: _rendition(links.rendition(job_id, name), record) for name, record in manifest.renditions.items()},
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


def _rendition(url: str, record: RenditionRecord) -> Rendition:
    steps: dict[str, Any] = {} if record.steps is None else {"steps": _as_stored(record.steps)}
    return Rendition(url=url, **_found(record), **steps)


def _as_stored(record: R) -> R:
    """Return a part of a manifest as it is read again: what is unknown is absent, also before it was stored."""
    return type(record)(**record.model_dump(exclude_none=True, exclude_unset=True))


def _found(record: RenditionRecord) -> dict[str, Any]:
    return {
        "width": record.width,
        "height": record.height,
        "frames": record.frames,
        "bytes": record.bytes,
        "content_type": record.content_type,
        "sha256": record.sha256,
    }


async def outcome_document(manifest: Manifest, store: ObjectStore, catalog: Catalog, links: Links) -> Outcome:
    """Return what those outside are told of a job that has ended. Raises BackendError.

    It has the job as ``GET /jobs/{id}`` answers it now. The store is asked only where the manifest does not say what
    the original is: its job has failed early.
    """
    source = ObjectRef(manifest.source.bucket, manifest.source.key)
    original: ObjectInfo | None = None
    if manifest.source.content_type is None:
        with suppress(ObjectMissing):
            original = await store.head(source)
    state = JobState(source.key, replaceable=True, manifest=manifest, original=original)
    job_id = keys.upload_id(source.key)
    return Outcome(
        type="job.done" if manifest.status == "done" else "job.failed",
        timestamp=manifest.finished_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        data=_job_by_key(state, manifest) if job_id is None else job_document(job_id, state, catalog, links),
    )


def _job_by_key(state: JobState, manifest: Manifest) -> JobByKey:
    members: dict[str, Any] = {} if state.metadata is None else {"metadata": state.metadata}
    if manifest.failed is not None:
        members["failed"] = {name: _failure(record) for name, record in manifest.failed.items()}
    if manifest.error is not None:
        members["error"] = _failure(manifest.error)
    return JobByKey(
        source=StoredObject(bucket=manifest.source.bucket, key=manifest.source.key),
        status="done" if manifest.status == "done" else "failed",
        original=_original(state),
        renditions={
            name: StoredRendition(bucket=record.bucket, key=record.key, **_found(record))
            for name, record in manifest.renditions.items()
        },
        **members,
    )

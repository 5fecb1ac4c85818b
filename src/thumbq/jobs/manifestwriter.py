"""Writing manifests, and records of messages that have none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thumbq.core import filenames, keys
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, SourceRecord
from thumbq.errors import JobDeleted, ObjectExists
from thumbq.manifests import failed_renditions, manifest_ref, read_manifest, with_findings
from thumbq.records import write_record

if TYPE_CHECKING:
    from thumbq.core.manifest import RenditionRecord
    from thumbq.core.retry import Bury
    from thumbq.jobs.delivery import Job
    from thumbq.jobs.findings import Findings
    from thumbq.jobs.resources import JobResources
    from thumbq.ports import ReceivedMessage


class ManifestWriter:
    """Records how jobs have ended. Every method raises BackendError."""

    def __init__(self, resources: JobResources) -> None:
        self._store = resources.store
        self._bucket = resources.bucket
        self._catalog = resources.catalog
        self._clock = resources.clock

    async def write_done(
        self,
        job: Job,
        findings: Findings,
        previous: Manifest | None,
        made: dict[str, RenditionRecord],
        *,
        if_absent: bool = False,
    ) -> Manifest:
        """Record what was made, beside renditions of the ``previous`` manifest that are still current; return it.

        With ``if_absent``, raise ObjectExists when there is a manifest.
        """
        manifest = self._manifest(job, findings, previous, made=made)
        await self._put(job, manifest, if_absent=if_absent)
        return manifest

    async def write_failed(self, job: Job, findings: Findings, bury: Bury) -> Manifest | None:
        """Record a failure: in the manifest of the original, or of the message alone when the original is not ours.

        Returns the manifest that stands then: None when the record is that of the message alone. It is one that is
        done, and nothing is written, when the manifest says by now that the job is done: the answer to our own
        put was lost, or somebody else has done it. It never goes over a manifest that says done of the same source when
        this attempt made nothing anew: then, too, the record is that of the message alone. Raises JobDeleted.
        """
        if job.source.bucket != self._bucket:
            await self.keep_message(job.message, bury)
            return None
        # Somebody may put one between our look and our put; and there may be one that cannot be read.
        for overwrite in (False, True):
            previous = await read_manifest(self._store, job.source)
            if previous is not None and previous.status == "deleted":
                raise JobDeleted
            is_met = findings.are_met_by(previous, job)
            if is_met and not findings.doubt(previous, job):
                return previous
            if is_met or findings.leave_alone(previous):
                await self.keep_message(job.message, bury)
                break
            failed = self._manifest(job, findings, previous, error=ErrorRecord(code=bury.code, message=bury.text))
            with suppress(ObjectExists):
                await self._put(job, failed, if_absent=previous is None and not overwrite)
                return failed
        return None

    async def keep_message(self, message: ReceivedMessage, bury: Bury) -> None:
        """Keep a message whole, with the reason of its failure."""
        record = FailedMessage(
            message_id=message.id,
            receive_count=message.receive_count,
            body=message.body,
            error=ErrorRecord(code=bury.code, message=bury.text),
            finished_at=self._now(),
        )
        ref = ObjectRef(self._bucket, keys.failed_message_key(message.id))
        await write_record(self._store, ref, record)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)

    def _manifest(
        self,
        job: Job,
        findings: Findings,
        previous: Manifest | None,
        *,
        made: dict[str, RenditionRecord] | None = None,
        error: ErrorRecord | None = None,
    ) -> Manifest:
        etag = findings.etag or (previous.source.etag if previous else None)
        fingerprints = {name: preset.fingerprint for name, preset in self._catalog.presets.items()}
        kept = previous.current(etag=etag, fingerprints=fingerprints) if previous else {}
        failed = previous.still_failed(etag=etag, fingerprints=fingerprints) if previous else {}
        if findings.rendered is not None:
            failed |= failed_renditions(findings.rendered, findings.presets)
        renditions = {**kept, **(made or {})}
        return Manifest(
            status="failed" if error else "done",
            source=_source_record(job, findings, previous, etag),
            renditions=renditions,
            failed={name: record for name, record in failed.items() if name not in renditions} or None,
            error=error,
            callback_url=findings.callback_url,
            metadata=findings.metadata,
            message_id=job.message.id,
            receive_count=job.message.receive_count,
            finished_at=self._now(),
            times=findings.times if made else None,
        )

    async def _put(self, job: Job, record: Manifest, *, if_absent: bool = False) -> None:
        await write_record(self._store, manifest_ref(job.source), record, if_absent=if_absent)


def _source_record(job: Job, findings: Findings, previous: Manifest | None, etag: str | None) -> SourceRecord:
    """Return what this attempt and, of the same bytes, the one before it have come to know."""
    source = job.source
    record = SourceRecord(bucket=source.bucket, key=source.key, etag=etag)
    if previous is not None and previous.source.etag == etag:
        record = previous.source.model_copy(update={"bucket": source.bucket, "key": source.key})
    if (info := findings.info) is not None:
        names = {"content_type": info.content_type, "filename": filenames.decode(info.metadata)}
        record = record.model_copy(update={"bytes": info.size, **names})
    return record if findings.rendered is None else with_findings(record, findings.rendered)

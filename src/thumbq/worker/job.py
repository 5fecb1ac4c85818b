"""One attempt at one message: from its body to a disposition."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from thumbq.core import keys, manifest, message, retry
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, SourceRecord
from thumbq.errors import (
    BackendError,
    BackendUnavailable,
    BucketNotAllowed,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    RenderRefused,
    SourceMissing,
    ThumbqError,
    UnknownPreset,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.core.preset import Preset
    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.ports import Backend, Clock, ObjectInfo, ReceivedMessage, Rendered, RenderedImage, Renderer, Sink
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Attempt:
    """What one attempt has learned so far; a failed manifest tells all of it."""

    message: ReceivedMessage
    request: JobRequest
    presets: Sequence[Preset] = ()
    looked: bool = False
    previous: Manifest | None = None
    info: ObjectInfo | None = None
    rendered: Rendered | None = None


class JobRunner:
    """Does what messages ask for, and decides what becomes of each."""

    def __init__(
        self,
        *,
        backend: Backend,
        renderer: Renderer,
        settings: Settings,
        clock: Clock,
        random: Random,
        max_receive_count: int | None,
    ) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._renderer = renderer
        self._settings = settings
        self._clock = clock
        self._random = random
        self._max_receive_count = max_receive_count
        self.store_failures = 0
        """Attempts in a row that ended because the store did not answer: an outage for everybody."""

    async def attempt(self, received: ReceivedMessage) -> Delete | Release | Bury:
        """Do the job of a message. Never raises for what goes wrong with it: that is the disposition's to say."""
        attempt: _Attempt | None = None
        try:
            request = message.parse(received.body, default_bucket=self._bucket)
            attempt = _Attempt(received, request)
            job_id = keys.upload_id(request.source.key) or request.source.key
            structlog.contextvars.bind_contextvars(job_id=job_id)
            await self._do(attempt)
        except ThumbqError as error:
            return await self._failed(error, received, attempt)
        except Exception as error:  # a bug in one job must not cancel the others: it is logged whole
            log.exception("job.bug")
            return await self._failed(error, received, attempt)
        return retry.Delete()

    async def store_answers(self) -> bool:
        """Ask the store for something small; any answer will do."""
        try:
            await self._store.head(ObjectRef(self._bucket, keys.MANIFESTS_PREFIX))
        except BackendUnavailable:
            return False
        except BackendError:
            return True
        return True

    def is_last_receive(self, received: ReceivedMessage) -> bool:
        """Whether the redrive policy allows no further receive of this message."""
        return self._max_receive_count is not None and received.receive_count >= self._max_receive_count

    async def _do(self, attempt: _Attempt) -> None:
        source = attempt.request.source
        if source.bucket != self._bucket:
            raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
        if self._settings.is_output(source.key):
            log.info("job.ignored", reason="the key is one of thumbq's own outputs")
            return
        attempt.previous = await self._read_manifest(source)
        attempt.looked = True
        attempt.presets = self._presets(attempt.request)
        if await self._is_done(attempt):
            log.info("job.already_done")
        else:
            await self._make(attempt)
        self.store_failures = 0

    async def _make(self, attempt: _Attempt) -> None:
        source = attempt.request.source
        started = self._clock.monotonic()
        with self._renderer.source() as original:
            attempt.info = await self._fetch(source, original)
            attempt.rendered = await self._renderer.render(original, attempt.presets)
        records = {image.preset: await self._store_rendition(source, image) for image in attempt.rendered.images}
        await self._write_manifest(source, self._manifest(attempt, records=records))
        log.info(
            "job.done",
            duration_ms=round((self._clock.monotonic() - started) * 1000),
            waited_ms=round((self._clock.wall() - attempt.message.sent_at) * 1000),
            renditions=list(records),
        )

    def _presets(self, request: JobRequest) -> Sequence[Preset]:
        if request.presets is None:
            return self._settings.presets_for(request.source.key)
        for name in request.presets:
            if name not in self._settings.presets:
                raise UnknownPreset(f"the message asks for the preset {name!r}, which the settings do not define")
        return [self._settings.presets[name] for name in request.presets]

    async def _read_manifest(self, source: ObjectRef) -> Manifest | None:
        try:
            _, raw = await self._store.get(_manifest_ref(source), max_bytes=manifest.MAX_MANIFEST_BYTES)
        except (ObjectMissing, ObjectTooLarge):
            return None
        return manifest.decode(raw)

    async def _is_done(self, attempt: _Attempt) -> bool:
        if attempt.previous is None or attempt.previous.status != "done":
            return False
        try:
            etag: str | None = (await self._store.head(attempt.request.source)).etag
        except ObjectMissing:
            # Removed since; a late duplicate of the message must not turn what was done into a failure.
            etag = attempt.previous.source.etag
        wanted = {preset.name: preset.fingerprint for preset in attempt.presets}
        return wanted.keys() <= attempt.previous.current(etag=etag, fingerprints=wanted).keys()

    async def _fetch(self, source: ObjectRef, sink: Sink) -> ObjectInfo:
        limit = self._settings.max_source_bytes
        try:
            return await self._store.fetch(source, sink, max_bytes=limit)
        except ObjectMissing as error:
            raise SourceMissing(f"there is no original {source.key!r}") from error
        except ObjectTooLarge as error:
            raise RenderRefused("too-large", f"the original has more than {limit} bytes") from error

    async def _store_rendition(self, source: ObjectRef, image: RenderedImage) -> RenditionRecord:
        preset = self._settings.presets[image.preset]
        ref = ObjectRef(source.bucket, preset.rendition_key(source.key))
        await self._store.put(ref, image.body, content_type=image.content_type)
        return manifest.rendition(
            preset,
            ref,
            body=image.body,
            width=image.width,
            height=image.height,
            content_type=image.content_type,
        )

    async def _failed(self, error: Exception, received: ReceivedMessage, attempt: _Attempt | None) -> Release | Bury:
        disposition = retry.after_failure(
            error,
            receive_count=received.receive_count,
            max_receive_count=self._max_receive_count,
            jitter=self._random.random(),
        )
        if isinstance(error, BackendUnavailable):
            self.store_failures += 1
        elif attempt is not None and attempt.looked:
            self.store_failures = 0
        if isinstance(disposition, retry.Release):
            log.warning("job.retry", error=str(error), kind=type(error).__name__, delay_s=round(disposition.delay_s, 1))
            return disposition
        log.error("job.failed", code=disposition.code, error=disposition.text)
        if attempt is None or isinstance(error, BucketNotAllowed):
            return disposition
        try:
            await self._record_failure(attempt, disposition)
        except BackendError as unwritten:
            log.warning("manifest.unwritten", error=str(unwritten))
            if not self.is_last_receive(received):
                return retry.Release(retry.backoff_s(received.receive_count, self._random.random()))
        return disposition

    async def _record_failure(self, attempt: _Attempt, bury: Bury) -> None:
        """Write the failed manifest, but never over one that says done when this attempt made nothing anew."""
        if attempt.previous is not None and attempt.previous.status == "done" and attempt.info is None:
            return
        failed = self._manifest(attempt, error=ErrorRecord(code=bury.code, message=bury.text))
        with suppress(ObjectExists):
            await self._write_manifest(attempt.request.source, failed, if_absent=not attempt.looked)

    def _manifest(
        self,
        attempt: _Attempt,
        *,
        records: dict[str, RenditionRecord] | None = None,
        error: ErrorRecord | None = None,
    ) -> Manifest:
        source, info, rendered, previous = attempt.request.source, attempt.info, attempt.rendered, attempt.previous
        etag = info.etag if info else previous.source.etag if previous else None
        known = {name: preset.fingerprint for name, preset in self._settings.presets.items()}
        kept = previous.current(etag=etag, fingerprints=known) if previous else {}
        return Manifest(
            status="failed" if error else "done",
            source=SourceRecord(
                bucket=source.bucket,
                key=source.key,
                etag=etag,
                bytes=info.size if info else None,
                format=rendered.format if rendered else None,
                width=rendered.width if rendered else None,
                height=rendered.height if rendered else None,
            ),
            renditions={**kept, **(records or {})},
            error=error,
            message_id=attempt.message.id,
            receive_count=attempt.message.receive_count,
            finished_at=datetime.fromtimestamp(self._clock.wall(), UTC),
        )

    async def _write_manifest(self, source: ObjectRef, record: Manifest, *, if_absent: bool = False) -> None:
        await self._store.put(
            _manifest_ref(source), record.encode(), content_type="application/json", if_absent=if_absent
        )


def _manifest_ref(source: ObjectRef) -> ObjectRef:
    return ObjectRef(source.bucket, keys.manifest_key(source.key))

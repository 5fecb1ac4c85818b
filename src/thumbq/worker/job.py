"""One attempt at one message: from its body to a disposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from thumbq.core import keys, manifest, message, retry
from thumbq.core.job import ObjectRef
from thumbq.errors import (
    BackendError,
    BackendUnavailable,
    BucketNotAllowed,
    ObjectMissing,
    ObjectTooLarge,
    RenderRefused,
    SourceMissing,
    ThumbqError,
    UnknownPreset,
)
from thumbq.worker.outcome import Attempt, Outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.core.job import JobRequest
    from thumbq.core.manifest import RenditionRecord
    from thumbq.core.preset import Preset
    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.ports import Backend, Clock, ObjectInfo, ReceivedMessage, RenderedImage, Renderer, Sink
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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
        self._outcomes = Outcomes(store=backend.store, settings=settings, clock=clock)
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
        attempt: Attempt | None = None
        try:
            request = message.parse(received.body, default_bucket=self._bucket)
            attempt = Attempt(received, request)
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

    async def _do(self, attempt: Attempt) -> None:
        source = attempt.request.source
        if source.bucket != self._bucket:
            raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
        if self._settings.is_output(source.key):
            log.info("job.ignored", reason="the key is one of thumbq's own outputs")
            return
        await self._outcomes.read(attempt)
        attempt.presets = self._presets(attempt.request)
        if await self._is_done(attempt):
            log.info("job.already_done")
        else:
            await self._make(attempt)
        self.store_failures = 0

    async def _make(self, attempt: Attempt) -> None:
        source = attempt.request.source
        started = self._clock.monotonic()
        with self._renderer.source() as original:
            attempt.info = await self._fetch(source, original)
            attempt.rendered = await self._renderer.render(original, attempt.presets)
        records = {image.preset: await self._store_rendition(source, image) for image in attempt.rendered.images}
        await self._outcomes.write_done(attempt, records)
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

    async def _is_done(self, attempt: Attempt) -> bool:
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

    async def _failed(self, error: Exception, received: ReceivedMessage, attempt: Attempt | None) -> Release | Bury:
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
            await self._outcomes.write_failed(attempt, disposition)
        except BackendError as unwritten:
            log.warning("manifest.unwritten", error=str(unwritten))
            if not self.is_last_receive(received):
                return retry.Release(retry.backoff_s(received.receive_count, self._random.random()))
        return disposition

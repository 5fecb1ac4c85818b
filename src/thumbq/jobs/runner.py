"""One attempt at one job: from what a message asks for to what should become of it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from thumbq.core import keys, retry
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    BucketNotAllowed,
    JobFailed,
    ObjectMissing,
    RenderKilled,
    SourceReplaced,
    ThumbqError,
)
from thumbq.jobs import fencing, presets
from thumbq.jobs.poison import NO_PAST, Suspicion

if TYPE_CHECKING:
    from random import Random

    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.jobs.delivery import Work
    from thumbq.jobs.manifestwriter import Attempt, ManifestWriter
    from thumbq.jobs.poison import Suspects
    from thumbq.jobs.processing import Processor
    from thumbq.jobs.storehealth import StoreHealth
    from thumbq.ports import Backend, Clock, QueueAttributes, ReceivedMessage
    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STORE_AWAY: Final = (BackendUnavailable, AccessDenied)
"""What a store that fails for everybody raises; a role that has lost its rights is such a one."""


class AlreadyFailed(JobFailed):
    """The manifest says that this very message has failed; what is missing is its burial."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class JobRunner:
    """Does jobs, one attempt at a time, and decides about each."""

    def __init__(
        self,
        *,
        backend: Backend,
        attributes: QueueAttributes,
        maker: Processor,
        outcomes: ManifestWriter,
        suspects: Suspects,
        health: StoreHealth,
        settings: Settings,
        clock: Clock,
        random: Random,
    ) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._max_receive_count = attributes.max_receive_count
        self._maker = maker
        self._outcomes = outcomes
        self._suspects = suspects
        self._health = health
        self._settings = settings
        self._clock = clock
        self._random = random

    async def do(self, attempt: Attempt, work: Work) -> Delete | Release | Bury:
        """Do one job of a message. Never raises for what goes wrong with it: that is the disposition's to say."""
        try:
            if not await self._needs_nothing(attempt):
                await self._make(attempt, work)
        except ThumbqError as error:
            disposition = await self.failed(error, work, attempt)
        except Exception as error:  # a bug in one job must not cancel the others: it is logged whole
            log.exception("job.bug")
            disposition = await self.failed(error, work, attempt)
        else:
            if attempt.looked:
                self._health.answered()
            disposition = retry.Delete()
        await self._remember(work, attempt.number, disposition)
        return disposition

    async def rest(self, work: Work) -> None:
        """Clean up after an attempt that was cancelled while its lease still stands."""
        if work.suspicion is not None:
            await self._suspects.rest(work.suspicion)

    async def give_up(self, received: ReceivedMessage, attempt: Attempt | None, bury: Bury) -> Delete | Bury:
        """Record that a job has failed with its message, unless it is done or has failed for a reason of its own.

        ``attempt`` is None for a message that is no job. Raises BackendError when the store does not answer.
        """
        suspicion = Suspicion(received, attempt.number if attempt else 1)
        try:
            if attempt is not None and await self._needs_nothing(attempt):
                await self._suspects.forget(suspicion)
                return retry.Delete()
        except JobFailed as error:
            bury = retry.Bury(error.code, error.text)
        failed = await self._outcomes.write_failed(received, attempt, bury)
        await self._suspects.forget(suspicion)
        return bury if failed else retry.Delete()

    async def failed(self, error: Exception, work: Work, attempt: Attempt | None) -> Delete | Release | Bury:
        """Decide about a job that raised, and record its failure when it is final.

        ``attempt`` is None for a message that is no job.
        """
        received = work.message
        disposition = retry.after_failure(
            error,
            receive_count=received.receive_count,
            max_receive_count=self._max_receive_count,
            past=work.suspicion.record if work.suspicion else NO_PAST,
            jitter=self._random.random(),
        )
        store_failed = isinstance(error, BackendError)
        if isinstance(error, STORE_AWAY):
            self._health.failed()
        if isinstance(disposition, retry.Release):
            if attempt is not None and store_failed:
                attempt.store_away = _for_everybody(error, attempt)
            elif attempt is not None and attempt.looked:
                self._health.answered()
            log.warning("job.retry", error=str(error), kind=type(error).__name__, delay_s=round(disposition.delay_s, 1))
            return disposition
        try:
            buried = isinstance(error, AlreadyFailed) or await self._outcomes.write_failed(
                received, attempt, disposition
            )
        except BackendError as unwritten:
            return self._unwritten(unwritten, received, attempt)
        if not store_failed:
            self._health.answered()
        if buried:
            log.error("job.failed", code=disposition.code, error=disposition.text)
            return disposition
        log.info("job.already_done")
        return retry.Delete()

    def _unwritten(self, error: BackendError, received: ReceivedMessage, attempt: Attempt | None) -> Release:
        log.warning("manifest.unwritten", error=str(error))
        if isinstance(error, STORE_AWAY):
            self._health.failed()
            if attempt is not None:
                attempt.store_away = True
        # On the last receive too: then the queue moves the message, and the sweep records the failure.
        return retry.Release(retry.backoff_s(received.receive_count, self._random.random()))

    async def _needs_nothing(self, attempt: Attempt) -> bool:
        """Whether there is nothing to make, going by what the message names and earlier attempts have left."""
        source = attempt.request.source
        if source.bucket != self._bucket:
            raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
        if self._settings.catalog.is_output(source.key):
            log.info("job.ignored", reason="the key is one of thumbq's own outputs")
            return True
        await self._outcomes.read(attempt)
        failed = attempt.previous.error if attempt.previous else None
        if failed is not None and attempt.previous and attempt.previous.message_id == attempt.message.id:
            raise AlreadyFailed(failed.code, failed.message)
        presets.settle(attempt, self._settings)
        if await self._is_done(attempt):
            log.info("job.already_done")
            return True
        return False

    async def _is_done(self, attempt: Attempt) -> bool:
        if attempt.previous is None or attempt.previous.status != "done":
            return False
        try:
            info = await self._store.head(attempt.request.source)
        except ObjectMissing:
            # A late duplicate of the message must not turn what was done into a failure.
            attempt.source_gone = True
        else:
            attempt.head_etag = info.etag
            presets.settle(attempt, self._settings, info.metadata)
        return attempt.is_done()

    async def _make(self, attempt: Attempt, work: Work) -> None:
        started = self._clock.monotonic()
        suspicion = work.suspicion = await self._suspects.look(work.message, attempt.number)
        if suspicion.record.guilty:
            raise RenderKilled(suspicion.record.code, suspicion.record.text)
        async with self._suspects.turn(suspicion):
            try:
                async with self._maker.ready(attempt, held_up=suspicion.record.suspect) as render:
                    work.started = True
                    await self._suspects.begin(suspicion)
                    fencing.check()
                    images = await render()
            except RenderKilled as error:
                await self._suspects.killed(suspicion, error)
                raise
            await self._suspects.rest(suspicion)
        await self._check_source(attempt)
        made = await self._maker.store(attempt.request.source, images)
        await self._outcomes.write_done(attempt, made)
        await self._check_source(attempt)
        log.info(
            "job.done",
            duration_ms=round((self._clock.monotonic() - started) * 1000),
            waited_ms=round((self._clock.wall() - attempt.message.sent_at) * 1000),
            renditions=list(made),
        )

    async def _check_source(self, attempt: Attempt) -> None:
        """Raise SourceReplaced when the original is another one by now; those of ``POST /upload`` never are.

        Two messages about one key may be at work at once, and the one that fetched the older original may end last.
        Asked before anything is stored, it keeps the older picture from going over the newer one; asked after, it has
        the job done again where that has happened all the same.
        """
        source = attempt.request.source
        if attempt.info is None or source.key.startswith(keys.UPLOADS_PREFIX):
            return
        with suppress(ObjectMissing):
            etag = (await self._store.head(source)).etag
            if etag != attempt.info.etag:
                attempt.info, attempt.rendered, attempt.head_etag = None, None, etag
                raise SourceReplaced(f"the original {source.key!r} was replaced while it was rendered")

    async def _remember(self, work: Work, number: int, disposition: Delete | Release | Bury) -> None:
        if not isinstance(disposition, retry.Release):
            kept = work.message.receive_count > 1
            await self._suspects.forget(work.suspicion or Suspicion(work.message, number, kept=kept))
        elif work.suspicion is not None:
            await self._suspects.rest(work.suspicion)


def _for_everybody(error: Exception, attempt: Attempt) -> bool:
    """Whether the store would fail for the next job, too. It may have denied the access to this one original only."""
    if isinstance(error, AccessDenied):
        return not attempt.looked or attempt.info is not None
    return isinstance(error, STORE_AWAY)

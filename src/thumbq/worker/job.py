"""One attempt at one message: from its body to a disposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from thumbq.core import keys, message, retry
from thumbq.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    BucketNotAllowed,
    JobFailed,
    ObjectMissing,
    RenderKilled,
    ThumbqError,
    UnknownPreset,
)
from thumbq.worker import guard
from thumbq.worker.outcome import Attempt
from thumbq.worker.suspects import NO_PAST, Suspicion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.core.job import JobRequest
    from thumbq.core.preset import Preset
    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.ports import Backend, Clock, QueueFacts, ReceivedMessage
    from thumbq.settings import Settings
    from thumbq.worker.health import StoreHealth
    from thumbq.worker.making import Maker
    from thumbq.worker.outcome import Outcomes
    from thumbq.worker.suspects import Suspects

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STORE_AWAY: Final = (BackendUnavailable, AccessDenied)
"""What a store that fails for everybody raises; a role that has lost its rights is such a one."""


@dataclass(eq=False, slots=True)
class Work:
    """One receive of a message on its way through the worker. ``started``: its render has got a process."""

    message: ReceivedMessage
    started: bool = False
    suspicion: Suspicion | None = None


class AlreadyFailed(JobFailed):
    """The manifest says that this very message has failed; what is missing is its burial."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class JobRunner:
    """Does what messages ask for, and decides what becomes of each."""

    def __init__(
        self,
        *,
        backend: Backend,
        facts: QueueFacts,
        maker: Maker,
        outcomes: Outcomes,
        suspects: Suspects,
        health: StoreHealth,
        settings: Settings,
        clock: Clock,
        random: Random,
    ) -> None:
        self._store = backend.store
        self._bucket = backend.bucket
        self._max_receive_count = facts.max_receive_count
        self._maker = maker
        self._outcomes = outcomes
        self._suspects = suspects
        self._health = health
        self._settings = settings
        self._clock = clock
        self._random = random

    async def attempt(self, work: Work) -> Delete | Release | Bury:
        """Do the job of a message. Never raises for what goes wrong with it: that is the disposition's to say."""
        attempt: Attempt | None = None
        disposition: Delete | Release | Bury
        try:
            attempt = self._parsed(work.message)
            await self._do(attempt, work)
        except ThumbqError as error:
            disposition = await self._failed(error, work, attempt)
        except Exception as error:  # a bug in one job must not cancel the others: it is logged whole
            log.exception("job.bug")
            disposition = await self._failed(error, work, attempt)
        else:
            disposition = retry.Delete()
        await self._remember(work, disposition)
        return disposition

    async def cut_off(self, work: Work) -> None:
        """Clean up after an attempt that was cancelled while its lease still stands."""
        if work.suspicion is not None:
            await self._suspects.rest(work.suspicion)

    async def moved(self, received: ReceivedMessage) -> Delete | Bury:
        """Decide about a message that the queue itself has moved to the dead letters, and record its failure.

        Raises BackendError when the store does not answer.
        """
        text = f"the queue moved the message after {received.receive_count} receives, none of which ended"
        return await self._given_up(received, text)

    async def passed_over(self, received: ReceivedMessage) -> Delete | Release | Bury:
        """Decide about a message whose turn did not come, as one before it in its group is still in the queue.

        It is given back at once; at its last receive it is given up, since the queue would move it without a word.
        """
        if not self.is_last_receive(received):
            return retry.Release()
        text = f"in {received.receive_count} receives the messages before it in its group were never all done"
        try:
            disposition = await self._given_up(received, text)
        except BackendError as error:
            log.warning("manifest.unwritten", error=str(error))
            return retry.Release()
        if isinstance(disposition, retry.Bury):
            log.error("job.failed", code=disposition.code, error=disposition.text)
        return disposition

    async def _given_up(self, received: ReceivedMessage, text: str) -> Delete | Bury:
        """Record that a message has used up its receives, unless it is done or has failed for a reason of its own."""
        bury = retry.Bury("attempts-exhausted", text)
        attempt: Attempt | None = None
        try:
            attempt = self._parsed(received)
            if await self._needs_nothing(attempt):
                await self._suspects.forget(Suspicion(received))
                return retry.Delete()
        except JobFailed as error:
            bury = retry.Bury(error.code, error.text)
        failed = await self._outcomes.write_failed(received, attempt, bury)
        await self._suspects.forget(Suspicion(received))
        return bury if failed else retry.Delete()

    def is_last_receive(self, received: ReceivedMessage) -> bool:
        """Whether the redrive policy allows no further receive of this message."""
        return self._max_receive_count is not None and received.receive_count >= self._max_receive_count

    def _parsed(self, received: ReceivedMessage) -> Attempt:
        request = message.parse(received.body, default_bucket=self._bucket)
        structlog.contextvars.bind_contextvars(job_id=keys.upload_id(request.source.key) or request.source.key)
        return Attempt(received, request)

    async def _do(self, attempt: Attempt, work: Work) -> None:
        if not await self._needs_nothing(attempt):
            await self._make(attempt, work)
        if attempt.looked:
            self._health.answered()

    async def _needs_nothing(self, attempt: Attempt) -> bool:
        """Whether there is nothing to make, going by what the message names and earlier attempts have left."""
        source = attempt.request.source
        if source.bucket != self._bucket:
            raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
        if self._settings.is_output(source.key):
            log.info("job.ignored", reason="the key is one of thumbq's own outputs")
            return True
        await self._outcomes.read(attempt)
        failed = attempt.previous.error if attempt.previous else None
        if failed is not None and attempt.previous and attempt.previous.message_id == attempt.message.id:
            raise AlreadyFailed(failed.code, failed.message)
        attempt.presets = self._presets(attempt.request)
        if await self._is_done(attempt):
            log.info("job.already_done")
            return True
        return False

    async def _make(self, attempt: Attempt, work: Work) -> None:
        started = self._clock.monotonic()
        suspicion = work.suspicion = await self._suspects.look(work.message)
        if suspicion.record.guilty:
            raise RenderKilled(suspicion.record.code, suspicion.record.text)

        async def on_start() -> None:
            work.started = True
            await self._suspects.begin(suspicion)
            guard.check()

        async with self._suspects.turn(suspicion):
            try:
                images = await self._maker.render(attempt, on_start)
            except RenderKilled as error:
                await self._suspects.killed(suspicion, error)
                raise
            await self._suspects.rest(suspicion)
        made = await self._maker.store(attempt.request.source, images)
        await self._outcomes.write_done(attempt, made)
        log.info(
            "job.done",
            duration_ms=round((self._clock.monotonic() - started) * 1000),
            waited_ms=round((self._clock.wall() - attempt.message.sent_at) * 1000),
            renditions=list(made),
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
            attempt.head_etag = (await self._store.head(attempt.request.source)).etag
        except ObjectMissing:
            # A late duplicate of the message must not turn what was done into a failure.
            attempt.source_gone = True
        return attempt.is_done()

    async def _failed(self, error: Exception, work: Work, attempt: Attempt | None) -> Delete | Release | Bury:
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
            if attempt is not None and attempt.looked and not store_failed:
                self._health.answered()
            log.warning("job.retry", error=str(error), kind=type(error).__name__, delay_s=round(disposition.delay_s, 1))
            return disposition
        try:
            buried = isinstance(error, AlreadyFailed) or await self._outcomes.write_failed(
                received, attempt, disposition
            )
        except BackendError as unwritten:
            log.warning("manifest.unwritten", error=str(unwritten))
            if isinstance(unwritten, STORE_AWAY):
                self._health.failed()
            # On the last receive too: then the queue moves the message, and the sweep records the failure.
            return retry.Release(retry.backoff_s(received.receive_count, self._random.random()))
        if not store_failed:
            self._health.answered()
        if buried:
            log.error("job.failed", code=disposition.code, error=disposition.text)
            return disposition
        log.info("job.already_done")
        return retry.Delete()

    async def _remember(self, work: Work, disposition: Delete | Release | Bury) -> None:
        if not isinstance(disposition, retry.Release):
            await self._suspects.forget(work.suspicion or Suspicion(work.message, kept=work.message.receive_count > 1))
        elif work.suspicion is not None:
            await self._suspects.rest(work.suspicion)

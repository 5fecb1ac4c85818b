"""The job runner: one attempt at one job, and the decision after it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from thumbq.core import retry
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import BackendError, JobDeleted, JobFailed, ThumbqError
from thumbq.jobs.attempt import Attempt
from thumbq.jobs.deletions import Deletions
from thumbq.jobs.delivery import JobResult, Outcome
from thumbq.jobs.fencing import LeaseLost
from thumbq.jobs.manifestwriter import ManifestWriter
from thumbq.jobs.processing import Processor
from thumbq.jobs.reporting import report_request
from thumbq.ports.observing import StageEnded, emit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.jobs.deadletterremoval import DeadLetterRemoval
    from thumbq.jobs.delivery import Delivery, Job
    from thumbq.jobs.resources import JobResources
    from thumbq.ports import ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class JobRunner:
    """Runs the jobs of one queue; ``max_receive_count`` is that of its redrive policy, if it has one."""

    def __init__(
        self,
        resources: JobResources,
        *,
        queue_name: str,
        max_receive_count: int | None,
        max_source_bytes: int,
        random: Random,
        dead_letters: Sequence[DeadLetterRemoval],
    ) -> None:
        self._queue_name = queue_name
        self._max_source_bytes = max_source_bytes
        self._max_receive_count = max_receive_count
        self._random = random
        self._dead_letters = dead_letters
        self._use(resources)

    async def run(self, delivery: Delivery, job: Job) -> JobResult:
        """Make one attempt at a job. Never raises for what goes wrong with it: the result says it."""
        attempt = self._attempt(job)
        if (sent_at := job.message.sent_at) is not None:
            emit(StageEnded("wait", self._queue_name, max(self._resources.clock.wall() - sent_at, 0.0)))
        try:
            result = await self._attempted(attempt, delivery)
        except JobDeleted:
            result = await self._deleted(job)
        if isinstance(result.disposition, Release):
            await attempt.crashes.render_ended()
        else:
            await attempt.crashes.forget()
        try:
            await self._announce(job, result)
        except BackendError as error:
            report_request("job.not_announced", error)
            return JobResult(Outcome.NOT_ANNOUNCED, self._release(job.message))
        return result

    async def _attempted(self, attempt: Attempt, delivery: Delivery) -> JobResult:
        """Make the attempt, and decide about one that fails. Raises JobDeleted."""
        try:
            if attempt.job.request.deletion:
                return await self._deletions.finish(delivery, attempt.job)
            result = await attempt.run(delivery, self._queue_name)
        except JobDeleted:
            raise
        except ThumbqError as error:
            return await self._failed(attempt, error)
        except Exception as error:  # a bug in one job must not cancel the others: it is logged whole
            log.exception("job.bug")
            return await self._failed(attempt, error)
        if attempt.answered and result.outcome is not Outcome.INTERRUPTED:
            self._resources.health.answered()
        return result

    async def _deleted(self, job: Job) -> JobResult:
        """Remove what a deleted job has left; where the store does not answer, its message comes again for that."""
        try:
            return await self._deletions.end(job.source)
        except BackendError as error:
            self._resources.health.failed()
            return JobResult(Outcome.RETRY, self._release(job.message), error=error, store_failed=True)

    async def give_up(self, job: Job, bury: Bury) -> JobResult:
        """Record that a job has failed with its message, unless it is done or has failed for a reason of its own.

        The result never says that the job is tried again.

        Raises BackendError when the store does not answer, or not all who are to be told can be.
        """
        attempt = self._attempt(job)
        try:
            result = await self._given_up(attempt, bury)
        except JobDeleted:
            result = await self._deletions.end(job.source)
        await attempt.crashes.remove()
        await self._announce(job, result)
        return result

    async def _given_up(self, attempt: Attempt, bury: Bury) -> JobResult:
        try:
            if not attempt.job.request.deletion and (settled := await attempt.settled()) is not None:
                return settled
        except JobFailed as error:
            bury = Bury(error.code, error.text)
        return await self._recorded(attempt, bury)

    def _release(self, message: ReceivedMessage) -> Release:
        return Release(retry.backoff_s(message.receive_count, self._random.random()))

    def _use(self, resources: JobResources) -> None:
        self._resources = resources
        self._processor = Processor(resources, queue_name=self._queue_name, max_source_bytes=self._max_source_bytes)
        self._manifests = ManifestWriter(resources)
        self._deletions = Deletions(resources, self._dead_letters)

    def _attempt(self, job: Job) -> Attempt:
        """Begin with the catalog that is in force; jobs that run end with theirs."""
        if (catalog := self._resources.catalogs.current) is not self._resources.catalog:
            self._use(replace(self._resources, catalog=catalog))
        return Attempt(job, self._resources, self._processor, self._manifests)

    async def _failed(self, attempt: Attempt, error: Exception) -> JobResult:
        """Decide about an attempt that raised, and record the failure when it is final. Raises JobDeleted."""
        message, health = attempt.job.message, self._resources.health
        disposition = retry.after_failure(
            error,
            receive_count=message.receive_count,
            max_receive_count=self._max_receive_count,
            past=attempt.crashes.record,
            jitter=self._random.random(),
        )
        store_failed = isinstance(error, BackendError) and not isinstance(error, LeaseLost)
        if store_failed:
            health.failed()
        if isinstance(disposition, Release):
            if not store_failed and attempt.answered:
                health.answered()
            return JobResult(Outcome.RETRY, disposition, error=error, store_failed=store_failed)
        try:
            result = await self._recorded(attempt, disposition)
        except BackendError as unwritten:
            release = not_recorded(self._resources, message.receive_count, unwritten, jitter=self._random.random())
            return JobResult(Outcome.NOT_RECORDED, release, store_failed=True)
        if not store_failed:
            health.answered()
        return result

    async def _recorded(self, attempt: Attempt, bury: Bury) -> JobResult:
        """Record that a job has failed, unless it is done. Raises JobDeleted and BackendError.

        A deletion that could not be brought to its end is no failure of its job: the dead letter is all that says so.
        """
        if attempt.job.request.deletion:
            return JobResult(Outcome.FAILED, bury)
        if not attempt.looked:
            # A late duplicate of the message must not turn what was done into a failure.
            with suppress(JobFailed, BackendError):
                if (settled := await attempt.settled()) is not None:
                    return settled
        await attempt.look_for_tombstone()
        # Nor must the failure of an older original, where a newer one is done.
        await attempt.forget_older_source()
        await attempt.learn_of_sender()
        manifest = await attempt.manifests.write_failed(attempt.job, attempt.findings, bury)
        if manifest is not None and manifest.status == "done":
            return JobResult(Outcome.ALREADY_DONE, Delete(), manifest=manifest)
        return JobResult(Outcome.FAILED, bury, manifest=manifest)

    async def _announce(self, job: Job, result: JobResult) -> None:
        """Tell of the end that this message has brought about. Raises BackendError."""
        if result.manifest is not None and result.manifest.message_id == job.message.id:
            for announcer in self._resources.announcers:
                await announcer.announce(result.manifest, attempt=job.message.receive_count)


def not_recorded(resources: JobResources, receive_count: int, error: BackendError, *, jitter: float) -> Release:
    """Give a message back whose failure the store did not record.

    On the last receive too: then the queue moves the message, and the dead-letter sweep records the failure.
    """
    log.warning("manifest.unwritten", error=str(error))
    resources.health.failed()
    return Release(retry.backoff_s(receive_count, jitter))

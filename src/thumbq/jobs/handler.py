"""The message handler: a delivery in, a disposition out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from thumbq.core import keys, message, retry
from thumbq.errors import BackendError, MalformedMessage
from thumbq.jobs.delivery import Delivery, Job
from thumbq.jobs.groups import positions
from thumbq.jobs.manifestwriter import ManifestWriter
from thumbq.jobs.poison import NO_CRASHES
from thumbq.jobs.reporting import report, report_retry, report_unreadable
from thumbq.jobs.runner import JobRunner, not_recorded
from thumbq.ports.tracing import Handling, during

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.jobs.deadletterremoval import DeadLetterRemoval
    from thumbq.jobs.delivery import JobResult
    from thumbq.jobs.resources import JobResources
    from thumbq.jobs.stopping import StopRequest
    from thumbq.ports import QueueAttributes, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

BUG_DELAY_S: Final = 30.0
"""How long a message is hidden that a bug has failed."""


class MessageHandler:
    """Handles the messages of one queue, job by job.

    ``attributes`` are those of the queue, ``queue_name`` is its name in the settings. An original may have
    ``max_source_bytes``. One that is given no ``dead_letters`` leaves those of deleted jobs where they are.
    """

    def __init__(
        self,
        resources: JobResources,
        *,
        attributes: QueueAttributes,
        max_source_bytes: int,
        random: Random,
        queue_name: str = "",
        dead_letters: Sequence[DeadLetterRemoval] = (),
    ) -> None:
        self._resources = resources
        self._queue_name = queue_name
        self._fifo = attributes.fifo
        self._max_receive_count = attributes.max_receive_count
        self._random = random
        self._manifests = ManifestWriter(resources)
        self._runner = JobRunner(
            resources,
            queue_name=queue_name,
            max_receive_count=attributes.max_receive_count,
            max_source_bytes=max_source_bytes,
            random=random,
            dead_letters=dead_letters,
        )

    def deliveries(self, messages: Sequence[ReceivedMessage], stop: StopRequest) -> list[Delivery]:
        """Return the deliveries of one receive's messages, in their order."""
        return [
            Delivery(received, self._is_last_receive(received), position, stop)
            for received, position in zip(messages, positions(messages, fifo=self._fifo), strict=True)
        ]

    async def handle(self, delivery: Delivery) -> Delete | Release | Bury:
        """Do the jobs of a message, after its predecessor in its group has ended.

        Never raises for what goes wrong with the message: that is the disposition's to say. A job that fails does not
        keep those after it from being done, unless the store fails for all of them. What has ended stays ended: at the
        next attempt its manifest says so.
        """
        try:
            return await self._handle(delivery)
        except Exception:  # a bug over one message must not cancel the others: it is logged whole
            log.exception("message.bug")
            return retry.Release(BUG_DELAY_S)

    async def moved(self, received: ReceivedMessage) -> Delete | Bury:
        """Decide about a message that the queue itself has moved to the dead letters, and record its failure.

        Raises BackendError when the store does not answer.
        """
        text = f"the queue moved the message after {received.receive_count} receives, none of which ended"
        with during(Handling(self._queue_name, received.id, received.receive_count, received.sender)):
            return await self._give_up(received, text)

    async def unfinished(self, delivery: Delivery, why: str) -> Delete | Release | Bury:
        """Decide about a message that cannot be gone on with now.

        It is given back at once; at its last receive it is given up, since the queue would move it silently.
        """
        if not delivery.last_receive:
            return retry.Release()
        try:
            return await self._give_up(delivery.message, why)
        except BackendError as error:
            log.warning("manifest.unwritten", error=str(error))
            return retry.Release()

    def _is_last_receive(self, received: ReceivedMessage) -> bool:
        return self._max_receive_count is not None and received.receive_count >= self._max_receive_count

    async def _handle(self, delivery: Delivery) -> Delete | Release | Bury:
        if not delivery.may_begin:
            return retry.Release()
        with delivery.interruptible() as waiting:
            in_order = await delivery.position.predecessor_removed()
        if waiting.cancelled_caught:
            return retry.Release()
        if not in_order:
            # Also where it is buried below and so leaves the queue: a message before it is still there.
            delivery.position.end(removed=False)
            log.info("message.passed_over", group=delivery.message.group)
            receives = delivery.message.receive_count
            text = f"in {receives} receives the messages before it in its group were never all done"
            return await self.unfinished(delivery, text)
        jobs = self._jobs(delivery.message)
        if isinstance(jobs, Exception):
            return await self._unreadable(delivery.message, jobs)
        return await self._run(delivery, jobs)

    async def _run(self, delivery: Delivery, jobs: Sequence[Job]) -> Delete | Release | Bury:
        ended: list[tuple[str, Delete | Release | Bury]] = []
        for job in jobs:
            if not delivery.may_begin:
                return retry.Release()
            _bind(job)
            result = await self._runner.run(delivery, job)
            self._report(result, job)
            ended.append((job.source.key, result.disposition))
            if result.store_failed and len(ended) < len(jobs):
                await self._resources.health.look_between_jobs()
                if self._resources.health.outage is not None:
                    break
        if len(jobs) > 1:
            _bind(None)
        return retry.after_attempts(ended)

    async def _unreadable(self, received: ReceivedMessage, error: Exception) -> Release | Bury:
        """Decide about a message whose body could not be parsed."""
        disposition = retry.after_failure(
            error,
            receive_count=received.receive_count,
            max_receive_count=self._max_receive_count,
            past=NO_CRASHES,
            jitter=self._random.random(),
        )
        if isinstance(disposition, retry.Release):
            report_retry(error, disposition)
            return disposition
        try:
            await self._manifests.keep_message(received, disposition)
        except BackendError as unwritten:
            jitter = self._random.random()
            return not_recorded(self._resources, received.receive_count, unwritten, jitter=jitter)
        self._resources.health.answered()
        self._report_unreadable(disposition, received)
        return disposition

    async def _give_up(self, received: ReceivedMessage, text: str) -> Delete | Bury:
        """Record that a message has used up its receives, for each job that is not done and has not failed itself."""
        bury = retry.Bury("attempts-exhausted", text)
        jobs = self._jobs(received)
        if isinstance(jobs, Exception):
            if isinstance(jobs, MalformedMessage):
                bury = retry.Bury(jobs.code, jobs.text)
            await self._manifests.keep_message(received, bury)
            self._report_unreadable(bury, received)
            return bury
        ended: list[tuple[str, Delete | Bury]] = []
        for job in jobs:
            _bind(job)
            result = await self._runner.give_up(job, bury)
            self._report(result, job)
            assert not isinstance(result.disposition, retry.Release)
            ended.append((job.source.key, result.disposition))
        if len(jobs) > 1:
            _bind(None)
        return retry.after_all(ended)

    def _report(self, result: JobResult, job: Job) -> None:
        report(result, job, self._queue_name, now=self._resources.clock.wall())

    def _report_unreadable(self, bury: Bury, received: ReceivedMessage) -> None:
        report_unreadable(bury, received, self._queue_name, now=self._resources.clock.wall())

    def _jobs(self, received: ReceivedMessage) -> list[Job] | Exception:
        """Return the jobs of a message, none when it asks for none, or the reason why its body cannot be read."""
        _bind(None)
        try:
            parsed = message.parse(received.body, default_bucket=self._resources.bucket)
        except MalformedMessage as error:
            return error
        except Exception as error:  # a bug over one body must not keep it in the queue: it is logged whole
            log.exception("message.bug")
            return error
        if not parsed.jobs:
            log.info("message.no_job", reason=parsed.no_job)
        return [Job(received, request, number) for number, request in enumerate(parsed.jobs, 1)]


def _bind(job: Job | None) -> None:
    """Say in the logs which job the next lines are about; of the message alone when there is none."""
    if job is None:
        structlog.contextvars.unbind_contextvars("job_id")
    else:
        key = job.source.key
        structlog.contextvars.bind_contextvars(job_id=keys.upload_id(key) or key)

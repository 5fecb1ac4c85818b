"""One attempt at one message: from its body, job by job, to a disposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from thumbq.core import keys, message, retry
from thumbq.errors import BackendError, MalformedMessage
from thumbq.jobs.manifestwriter import Attempt

if TYPE_CHECKING:
    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.jobs.delivery import Work
    from thumbq.jobs.runner import JobRunner
    from thumbq.ports import QueueAttributes, ReceivedMessage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class MessageHandler:
    """Does what messages ask for, and decides what becomes of each."""

    def __init__(self, *, bucket: str, attributes: QueueAttributes, attempts: JobRunner) -> None:
        self._bucket = bucket
        self._max_receive_count = attributes.max_receive_count
        self._attempts = attempts

    async def attempt(self, work: Work) -> Delete | Release | Bury:
        """Do the jobs of a message. Never raises for what goes wrong with it: that is the disposition's to say.

        A job that fails does not keep those after it from being done, unless the store fails for all of them. What has
        ended stays ended: at the next attempt its manifest says so.
        """
        try:
            jobs = self._jobs(work.message)
        except MalformedMessage as error:
            return await self._attempts.failed(error, work, None)
        except Exception as error:  # a bug over one body must not keep it in the queue: it is logged whole
            log.exception("job.bug")
            return await self._attempts.failed(error, work, None)
        ended: list[tuple[str, Delete | Release | Bury]] = []
        for job in jobs:
            if work.stopping and not self.is_last_receive(work.message):
                return retry.Release()
            work.started, work.suspicion = False, None
            _bind(job)
            ended.append((job.request.source.key, await self._attempts.do(job, work)))
            if job.store_away:
                break
        if len(jobs) > 1:
            _bind(None)
        return retry.together(ended)

    async def cut_off(self, work: Work) -> None:
        """Clean up after an attempt that was cancelled while its lease still stands."""
        await self._attempts.rest(work)

    async def moved(self, received: ReceivedMessage) -> Delete | Bury:
        """Decide about a message that the queue itself has moved to the dead letters, and record its failure.

        Raises BackendError when the store does not answer.
        """
        text = f"the queue moved the message after {received.receive_count} receives, none of which ended"
        return await self._given_up(received, text)

    async def passed_over(self, received: ReceivedMessage) -> Delete | Release | Bury:
        """Decide about a message whose turn did not come, as one before it in its group is still in the queue."""
        text = f"in {received.receive_count} receives the messages before it in its group were never all done"
        return await self.unfinished(received, text)

    async def unfinished(self, received: ReceivedMessage, why: str) -> Delete | Release | Bury:
        """Decide about a message that cannot be gone on with now.

        It is given back at once; at its last receive it is given up, since the queue would move it without a word.
        """
        if not self.is_last_receive(received):
            return retry.Release()
        try:
            disposition = await self._given_up(received, why)
        except BackendError as error:
            log.warning("manifest.unwritten", error=str(error))
            return retry.Release()
        if isinstance(disposition, retry.Bury):
            log.error("job.failed", code=disposition.code, error=disposition.text)
        return disposition

    def is_last_receive(self, received: ReceivedMessage) -> bool:
        """Whether the redrive policy allows no further receive of this message."""
        return self._max_receive_count is not None and received.receive_count >= self._max_receive_count

    async def _given_up(self, received: ReceivedMessage, text: str) -> Delete | Bury:
        """Record that a message has used up its receives, for each job that is not done and has not failed itself."""
        try:
            jobs = self._jobs(received)
        except MalformedMessage as error:
            return await self._attempts.give_up(received, None, retry.Bury(error.code, error.text))
        bury = retry.Bury("attempts-exhausted", text)
        ended: list[tuple[str, Delete | Bury]] = []
        for job in jobs:
            _bind(job)
            ended.append((job.request.source.key, await self._attempts.give_up(received, job, bury)))
        if len(jobs) > 1:
            _bind(None)
        return retry.buried(ended)

    def _jobs(self, received: ReceivedMessage) -> list[Attempt]:
        """Return an attempt at each job of a message; none when it is no job."""
        _bind(None)
        parsed = message.parse(received.body, default_bucket=self._bucket)
        if not parsed.jobs:
            log.info("message.no_job", reason=parsed.no_job)
        return [
            Attempt(received, request, number, callback_url=request.callback_url)
            for number, request in enumerate(parsed.jobs, 1)
        ]


def _bind(job: Attempt | None) -> None:
    """Say in the logs which job the next lines are about; of the message alone when there is none."""
    if job is None:
        structlog.contextvars.unbind_contextvars("job_id")
    else:
        key = job.request.source.key
        structlog.contextvars.bind_contextvars(job_id=keys.upload_id(key) or key)

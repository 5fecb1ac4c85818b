"""Reporting: every JobResult passes here, at the end of an attempt and when a job is given up.

Messages that cannot be read have no jobs, and attempts that are cut off have no result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from thumbq.core.retry import Bury, Release
from thumbq.jobs.delivery import Outcome

if TYPE_CHECKING:
    from thumbq.jobs.delivery import JobResult

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def report(result: JobResult) -> None:
    """Log how an attempt at a job ended; the context names the job and its message."""
    if result.outcome is Outcome.DONE:
        log.info(
            "job.done",
            duration_ms=round(result.duration_s * 1000),
            waited_ms=None if result.waited_s is None else round(result.waited_s * 1000),
            renditions=list(result.renditions),
            **({"failed": dict(result.failed)} if result.failed else {}),
        )
    elif result.outcome is Outcome.ALREADY_DONE:
        log.info("job.already_done")
    elif result.outcome is Outcome.NO_JOB:
        log.info("job.ignored", reason="the key is one of thumbq's own outputs")
    elif isinstance(result.disposition, Bury):
        report_failed(result.disposition)
    elif result.outcome is Outcome.RETRY and isinstance(result.disposition, Release) and result.error is not None:
        report_retry(result.error, result.disposition)


def report_failed(bury: Bury) -> None:
    """Log that a job or a whole message has failed for good."""
    log.error("job.failed", code=bury.code, error=bury.text)


def report_retry(error: Exception, release: Release) -> None:
    """Log that a job or a whole message is tried again."""
    log.warning("job.retry", error=str(error), kind=type(error).__name__, delay_s=round(release.delay_s, 1))

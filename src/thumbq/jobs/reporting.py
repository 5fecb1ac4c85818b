"""Reporting: every JobResult passes here, at the end of an attempt and when a job is given up.

Messages that cannot be read have no jobs, and attempts that are cut off have no result.

The levels of all that fails are decided here. An error needs a person, and is the service's: it may wake somebody. A
warning is what customers have sent, or what may pass by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from thumbq.core.retry import Bury, Delete, Release, is_ours
from thumbq.errors import BackendRefused, NotSent, SendRefused
from thumbq.jobs.delivery import Outcome
from thumbq.ports.observing import Attempted, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thumbq.errors import BackendError
    from thumbq.jobs.delivery import Job, JobResult
    from thumbq.ports import ReceivedMessage
    from thumbq.ports.observing import Ending

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LASTING_S: Final = 60.0
"""An outage that is longer does not pass by itself."""


_ENDINGS: Final[Mapping[Outcome, Ending]] = {
    Outcome.DONE: "done",
    Outcome.FAILED: "failed",
    Outcome.RETRY: "retried",
    Outcome.NOT_RECORDED: "retried",
    Outcome.NOT_ANNOUNCED: "retried",
}


def report(result: JobResult, job: Job, queue_name: str, *, now: float) -> None:
    """Log how an attempt at a job has ended ``now``, in POSIX seconds, and tell the observers.

    The log's context names the job and its message.
    """
    _log(result)
    began_after_s = None if result.waited_s is None else max(result.waited_s - result.duration_s, 0.0)
    emit(
        Attempted(
            queue_name,
            _ENDINGS.get(result.outcome, "settled"),
            ended_at=now,
            sent_at=job.message.sent_at,
            code=result.disposition.code if isinstance(result.disposition, Bury) else None,
            wait_s=began_after_s,
            work_s=result.render_s,
            key=job.source.key,
        )
    )


def report_unreadable(bury: Bury, received: ReceivedMessage, queue_name: str, *, now: float) -> None:
    """Log that a message without a job that can be read has failed for good ``now``, and tell the observers."""
    report_failed(bury)
    emit(Attempted(queue_name, "failed", ended_at=now, sent_at=received.sent_at, code=bury.code))


def _log(result: JobResult) -> None:
    if result.outcome is Outcome.DONE:
        write = _write(result.failed.values()) if result.failed else log.info
        write(
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
    elif result.outcome is Outcome.DELETED:
        log.info("job.deleted", ended=isinstance(result.disposition, Delete))
    elif isinstance(result.disposition, Bury):
        report_failed(result.disposition)
    elif result.outcome is Outcome.RETRY and isinstance(result.disposition, Release) and result.error is not None:
        report_retry(result.error, result.disposition)


def report_failed(bury: Bury) -> None:
    """Log that a job or a whole message has failed for good."""
    _write([bury.code])("job.failed", code=bury.code, error=bury.text)


def report_buried(bury: Bury, *, dead_letter: bool) -> None:
    """Log that a message has failed for good; ``dead_letter``: there is a copy of it. Alarms count these lines."""
    _write([bury.code])("message.buried", code=bury.code, dead_letter=dead_letter)


def report_retry(error: Exception, release: Release) -> None:
    """Log that a job or a whole message is tried again."""
    log.warning("job.retry", error=str(error), kind=type(error).__name__, delay_s=round(release.delay_s, 1))


def report_away(event: str, *, away_s: float, **members: Any) -> None:
    """Log that the store or a queue has not answered for so long: at first it may be a hiccup."""
    write = log.error if away_s >= LASTING_S else log.warning
    write(event, away_s=round(away_s), **members)


def report_request(event: str, error: BackendError, **members: Any) -> None:
    """Log a request of thumbq's own that failed: one that is refused will be so until somebody sees to it."""
    refused = isinstance(error, BackendRefused | SendRefused) and not isinstance(error, NotSent)
    write = log.error if refused else log.warning
    write(event, error=str(error), **members)


def _write(codes: Iterable[str]) -> Callable[..., Any]:
    return log.error if any(map(is_ours, codes)) else log.warning

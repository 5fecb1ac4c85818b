"""The series that are there before anything has happened, at 0.

``increase()`` and ``rate()`` see no change in a series that begins with its first event: an alert on a single dead
letter would never fire. Source: Prometheus, Best practices, "Avoid missing metrics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core import callbackmessage
from thumbq.core.retry import JOB_CODES
from thumbq.ports.observing import CAUSES, STAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from thumbq.ports.observing import Ending

_MOST_ATTEMPTS: Final = 10
_CODELESS: Final[tuple[Ending, ...]] = ("done", "retried", "settled")


def attempt_label(attempt: int) -> str:
    """Return the label of an attempt, which counts from 1: from the tenth one on all are one."""
    return str(attempt) if attempt < _MOST_ATTEMPTS else f"{_MOST_ATTEMPTS}+"


def known_series(queues: Collection[str], *, events: bool) -> Iterator[tuple[str, ...]]:
    """Yield the name of a family and the values of its labels, for each series that queues of these names may have.

    ``events``: whether events are published. Routes, statuses and calls have too many: their series begin when they do.
    """
    yield "uploads_total", "accepted", ""
    for cause in CAUSES:
        yield "render_processes_replaced_total", cause
    for queue in queues:
        yield "leases_lost_total", queue
        yield "heartbeats_failed_total", queue
        yield "stage_duration_seconds", queue, "ack"
        if queue != callbackmessage.QUEUE:
            yield from _of_jobs(queue)
    if callbackmessage.QUEUE in queues:
        yield from _told("callback", "done", "failed", "given-up")
    if events:
        yield from _told("event", "done", "failed")


def _of_jobs(queue: str) -> Iterator[tuple[str, ...]]:
    for ending in _CODELESS:
        yield "jobs_total", queue, ending, ""
    for code in sorted(JOB_CODES):
        yield "jobs_total", queue, "failed", code
    for stage in STAGES:
        yield "stage_duration_seconds", queue, stage
    yield "fetched_bytes_total", queue
    yield "stored_bytes_total", queue


def _told(by: str, *endings: str) -> Iterator[tuple[str, ...]]:
    for ending in endings:
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            yield "notifications_total", by, ending, attempt_label(attempt)

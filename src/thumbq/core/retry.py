"""What becomes of a message, decided without input or output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.quoting import quoted
from thumbq.errors import JobFailed, RenderKilled, SourceDenied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.crashrecord import CrashRecord

BACKOFF_BASE_S: Final = 1.0
BACKOFF_CAP_S: Final = 300.0
_KEYS_NAMED: Final = 3

CUSTOMERS_CODES: Final = frozenset(
    {
        "corrupt",
        "source-missing",
        "too-large",
        "too-many-frames",
        "too-many-scans",
        "truncated",
        "unsupported-format",
    }
)
"""The codes of failures that lie in what a customer has sent, or has removed again: nobody here has to do anything."""

OUR_CODES: Final = frozenset(
    {
        "attempts-exhausted",
        "bucket-not-allowed",
        "decode-timeout",
        "malformed-message",
        "out-of-memory",
        "render-crashed",
        "source-archived",
        "source-denied",
        "unknown-preset",
    }
)
"""The other codes that thumbq gives jobs that fail: these need a person."""

JOB_CODES: Final = CUSTOMERS_CODES | OUR_CODES

CALLBACK_CODES: Final = frozenset({"callback-failed", "callback-gone", "callback-not-allowed"})
"""The codes of callbacks that were given up: nobody here has to do anything either."""


def is_ours(code: str) -> bool:
    """Whether a failure with this code is ours: it needs a person. One that nobody has thought of is."""
    return code not in CUSTOMERS_CODES | CALLBACK_CODES


@dataclass(frozen=True, slots=True)
class Delete:
    """The job is done (or was no job): remove the message."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give the message back; it becomes visible again after ``delay_s`` seconds."""

    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bury:
    """Put the message on the dead-letter queue with its reason, and delete it."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Do nothing at all: the lease is lost, and the message belongs to somebody else."""


Disposition = Delete | Release | Bury | Abandon


def backoff_s(receive_count: int, jitter: float) -> float:
    """Return a full-jitter exponential delay in seconds for this attempt; ``jitter`` is drawn from [0, 1).

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    exponent = min(max(receive_count - 1, 0), 16)
    return jitter * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0**exponent)


def after_failure(
    error: Exception, *, receive_count: int, max_receive_count: int | None, past: CrashRecord, jitter: float
) -> Release | Bury:
    """Decide what becomes of a message whose job raised ``error``, with what is known of its ``past``.

    Permanent errors are buried at once, and so is what kills renders again and again. Everything else is tried again,
    unless this was the last receive that the redrive policy allows: then thumbq buries it itself, so that the queue
    never moves it silently.
    """
    if isinstance(error, JobFailed):
        return Bury(error.code, error.text)
    if isinstance(error, RenderKilled) and past.poison:
        return Bury(error.code, f"{past.kills + past.vanished} renders were killed, the last one with: {error.text}")
    if max_receive_count is not None and receive_count >= max_receive_count:
        code = error.code if isinstance(error, SourceDenied) else "attempts-exhausted"
        last = error.text if isinstance(error, RenderKilled) else str(error) or type(error).__name__
        return Bury(code, f"{receive_count} attempts failed, the last one with: {last}")
    return Release(backoff_s(receive_count, jitter))


def after_all(jobs: Sequence[tuple[str, Delete | Bury]]) -> Delete | Bury:
    """Decide about a message whose jobs have all ended, each named by its key: one that failed buries it.

    A failure that is ours gives the message its code, before those of customers.
    """
    failed = [(key, ending) for key, ending in jobs if isinstance(ending, Bury)]
    failed.sort(key=lambda job: not is_ours(job[1].code))
    if not failed:
        return Delete()
    _, first = failed[0]
    if len(jobs) == 1:
        return first
    named = ", ".join(quoted(key) for key, _ in failed[:_KEYS_NAMED])
    more = f" and {len(failed) - _KEYS_NAMED} more" if len(failed) > _KEYS_NAMED else ""
    return Bury(first.code, f"{len(failed)} of {len(jobs)} jobs failed: {named}{more}; the first one: {first.text}")


def after_attempts(jobs: Sequence[tuple[str, Delete | Release | Bury]]) -> Delete | Release | Bury:
    """Decide about a message after an attempt at each job, named by its key: a job to be tried again keeps it."""
    releases = [ending for _, ending in jobs if isinstance(ending, Release)]
    if releases:
        return max(releases, key=lambda release: release.delay_s)
    return after_all([(key, ending) for key, ending in jobs if not isinstance(ending, Release)])

"""What goes in and what comes out: a delivery of a message, its jobs, and the result of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import anyio

from thumbq.core import keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from thumbq.core.job import JobRequest, ObjectRef
    from thumbq.core.manifest import Manifest
    from thumbq.core.retry import Bury, Delete, Release
    from thumbq.jobs.groups import GroupPosition
    from thumbq.jobs.stopping import StopRequest
    from thumbq.ports import ReceivedMessage


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One receive of a message. ``last_receive``: the redrive policy allows no further one."""

    message: ReceivedMessage
    last_receive: bool
    position: GroupPosition
    stop: StopRequest

    @property
    def may_begin(self) -> bool:
        """Whether a job may begin now.

        A last receive is used also after a stop: given back, the message would become a dead letter silently.
        """
        return self.last_receive or not self.stop.requested

    def interruptible(self) -> AbstractContextManager[anyio.CancelScope]:
        """Run code that a stop interrupts, unless this is the last receive; see StopRequest.interruptible."""
        return anyio.CancelScope() if self.last_receive else self.stop.interruptible()


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a message; ``number`` counts the message's jobs from 1."""

    message: ReceivedMessage
    request: JobRequest
    number: int = 1

    @property
    def source(self) -> ObjectRef:
        """Where the original lies."""
        return self.request.source

    @property
    def redelivered(self) -> bool:
        """Whether there may have been an attempt at it already, for this very message."""
        return self.message.receive_count > 1 or not self.message.counted

    @property
    def looks_first(self) -> bool:
        """Whether an attempt looks for what was made before it."""
        return self.redelivered or self.request.again or self.request.rerender == "changed"

    @property
    def replaceable(self) -> bool:
        """Whether another original may come under the same key; those of ``POST /upload`` are put only if absent."""
        return not self.source.key.startswith(keys.UPLOADS_PREFIX)


class Outcome(Enum):
    """How an attempt at a job ended."""

    DONE = auto()
    ALREADY_DONE = auto()
    """An earlier attempt has done it, or somebody else has."""
    NO_JOB = auto()
    """The key lies where thumbq writes: it is never a source."""
    DELETED = auto()
    """The job was deleted: nothing of it is kept, and nobody is told."""
    RETRY = auto()
    FAILED = auto()
    """For good, and the manifest says so."""
    NOT_RECORDED = auto()
    """For good, but the store did not take the record: it is tried again."""
    NOT_ANNOUNCED = auto()
    """It has ended, but not all who are to be told of it could be: they are told at the next receive."""
    INTERRUPTED = auto()
    """A stop came before a render process had the job."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one attempt at a job ended, and what becomes of its message as far as this job goes.

    ``error`` is what a retry is for. ``renditions`` are the presets that were made, ``failed`` those
    that were not, each with its code; ``duration_s`` how long that took,
    ``waited_s`` the time from the send to the end, if that is known, ``render_s`` that of the last render.
    ``store_failed``: a request to the store has
    failed. ``manifest`` is the stored one that says so, when this message has brought it about.
    """

    outcome: Outcome
    disposition: Delete | Release | Bury
    error: Exception | None = None
    renditions: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    duration_s: float = 0.0
    waited_s: float | None = None
    render_s: float | None = None
    store_failed: bool = False
    manifest: Manifest | None = None

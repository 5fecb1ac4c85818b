"""The models of what is answered about queues and dead letters."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from thumbq.core.jobdocument import Url
from thumbq.web.answers import Answer, Envelope

Time = Annotated[str, Field(description="RFC 3339.")]
Count = Annotated[int, Field(description="Approximate on SQS.", ge=0)]
Replica = Annotated[str, Field(description="Name of the replica that answers.")]
Seconds = Annotated[list[float | None], Field(description="Seconds; null where nothing ended.")]

Status = Literal["redriven", "removed", "missing", "failed", "not-tried"]

MAX_IDS: Final = 100
MAX_LISTED: Final = 100


class Counts(Answer):
    """The messages of a queue."""

    visible: Count
    in_flight: Count
    delayed: Count
    dead: Count


class EndedSeries(Answer):
    """What has ended on this replica in the last hour, in steps; the last one is of now, and not over."""

    begins_at: Time
    step_s: int
    done: list[int]
    failed: list[int]
    retried: list[int]
    wait_p50_s: Seconds = Field(description="From the send to the beginning of an attempt.")
    wait_p99_s: Seconds
    work_p50_s: Seconds = Field(description="A render, or a call of a callback.")
    work_p99_s: Seconds


class Queue(Answer):
    """A queue."""

    name: str
    counts: Counts | None = Field(description="Null while the queue does not answer.")
    oldest_seen_at: Time | None = Field(
        description="The earliest send among the messages that this replica had in the last five minutes."
    )
    paused: bool | None = Field(description="Null while the store does not say it.")
    paused_since: Time | None
    dead_letters: bool = Field(description="Whether there is a dead-letter queue.")
    series: EndedSeries


class Queues(Answer):
    """All queues of a replica, the most urgent first."""

    replica: Replica
    now: Time
    queues: list[Queue]


class QueuesAnswer(Envelope):
    """The queues."""

    data: Queues


class QueuePaused(Answer):
    """Whether a queue is paused."""

    replica: Replica
    name: str
    paused: bool
    paused_since: Time | None


class QueuePausedAnswer(Envelope):
    """Whether a queue is paused."""

    data: QueuePaused


class DeadLetter(Answer):
    """A dead letter."""

    id: str
    code: str | None = Field(description="Null when thumbq has not buried it.")
    reason: str
    sent_at: Time | None
    receive_count: int = Field(description="How often it was received, by thumbq where that is known.")
    message_id: str | None = Field(description="Id of the message that was buried.")
    keys: list[str] = Field(description="Keys of the originals.")
    original: Url | None = Field(description="Address of the first original's file, if it was an upload.")
    job: Url | None = Field(description="Address of the first job, if it was an upload.")
    body: str
    body_cut: bool = Field(description="Whether there is more of the body.")


class DeadLetters(Answer):
    """Dead letters. All of them are hidden from others while they are looked at, and count a receive more."""

    replica: Replica
    queue: str
    letters: list[DeadLetter]
    looked_at: int
    others: int | None = Field(
        description="About how many more there are that another reader holds. Null when the look ended before the last."
    )


class DeadLettersAnswer(Envelope):
    """Dead letters."""

    data: DeadLetters


class OneDeadLetter(Answer):
    """One dead letter."""

    replica: Replica
    queue: str
    letter: DeadLetter


class DeadLetterAnswer(Envelope):
    """One dead letter."""

    data: OneDeadLetter


class SeenTo(Answer):
    """What became of one dead letter."""

    id: str
    status: Status = Field(description="`missing`: it is gone, or another reader holds it for now.")
    message_id: str | None = Field(default=None, description="Id of its new message.")
    error: str | None = None


class SeenToLetters(Answer):
    """What became of dead letters."""

    replica: Replica
    queue: str
    dry_run: bool
    number: int = Field(description="How many were redriven or removed, or would be.")
    letters: list[SeenTo] = Field(description="Each that was named; of all of them those that were not seen to.")
    left: int | None = Field(description="About how many are left of all; null where single ones were named.")


class SeenToAnswer(Envelope):
    """What became of dead letters. ``success`` is false when one was not seen to."""

    data: SeenToLetters


class Chosen(BaseModel):
    """Which dead letters are meant: those with these ids, or all."""

    model_config = ConfigDict(strict=True, frozen=True)

    ids: list[str] | None = Field(
        default=None, min_length=1, max_length=MAX_IDS, description="Ids, as they are listed."
    )
    all: bool = Field(default=False, description="All of them, in place of `ids`.")
    dry_run: bool = Field(default=False, description="Say how many, and change nothing.")


class DeadLettersQuery(BaseModel):
    """Which dead letters are asked for."""

    model_config = ConfigDict(frozen=True)

    limit: Annotated[int, Field(description="How many are listed.", ge=1, le=MAX_LISTED)] = 50
    code: Annotated[
        tuple[str, ...],
        Field(description="Only those with one of these codes; `-` is for those without.", max_length=20),
    ] = ()

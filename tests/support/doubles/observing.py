"""Observers, and all that can happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core import callbackmessage
from thumbq.ports.observing import (
    STAGES,
    Answered,
    Attempted,
    BeatsFailed,
    Called,
    LeaseLost,
    ProcessReplaced,
    StageEnded,
    Told,
    Uploaded,
)

if TYPE_CHECKING:
    from thumbq.ports.observing import Happened

EVERYTHING: Final[tuple[Happened, ...]] = (
    *(Attempted("", "done", 1000.0, 990.0), Attempted("", "failed", 1000.0, 990.0, code="corrupt")),
    *(Attempted("", "retried", 1000.0, None), Attempted("", "settled", 1000.0, None)),
    Attempted(callbackmessage.QUEUE, "done", 1000.0, 990.0),  # no job: metrics count it as what is Told
    *(StageEnded(stage, "", 0.2, 300) for stage in STAGES),
    Answered("/upload", "POST", 201, 0.1, 500, 200),
    Answered(None, "BREW", 404, 0.1, 0, 100),
    Answered("/upload", "POST", 503, 0.1, 0, 100),
    *(Uploaded(None, 400), Uploaded("unsupported-format")),
    *(Told("callback", "done", 1), Told("callback", "failed", 2), Told("callback", "given-up", 13)),
    *(Told("event", "done", 1), Told("event", "failed", 3)),
    *(Called("s3", "PUT", 200), Called("sqs", "SendMessageBatch", 503), Called("s3", "GET", None)),
    *(LeaseLost(""), BeatsFailed("", 10), ProcessReplaced("recycled")),
)


class Observed:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.happened: list[Happened] = []

    def observe(self, happened: Happened) -> None:
        self.happened.append(happened)

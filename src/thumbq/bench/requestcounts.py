"""How many requests went to S3 and SQS: counted by the service, read by the benchmark, in memory that both have."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SQS: Final = "AmazonSQS."
_OTHER: Final = "other"
_METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")
_ACTIONS: Final = (
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "SendMessage",
    "SendMessageBatch",
    "GetQueueUrl",
    "GetQueueAttributes",
)
_PLACES: Final = {
    place: number
    for number, place in enumerate(
        (service, name)
        for service, names in (("s3", (*_METHODS, _OTHER)), ("sqs", (*_ACTIONS, _OTHER)))
        for name in names
    )
}
_FORMAT: Final = "Q"
_BYTES: Final = 8 * len(_PLACES)

SERVICES: Final = ("s3", "sqs")
UNCOUNTED: Final = "-"
"""Stands for the descriptor where nothing is counted."""


class RequestCounts:
    """The counts in the memory file behind ``descriptor``, which is mapped: it may be closed then.

    One process adds, and others may read at any time.
    """

    def __init__(self, descriptor: int) -> None:
        self._numbers = memoryview(mmap.mmap(descriptor, _BYTES)).cast(_FORMAT)

    @staticmethod
    def size() -> int:
        """Return how many bytes the memory file has to have."""
        return _BYTES

    def add(self, method: str, target: str | None) -> None:
        """Count a request by its method, and its header ``X-Amz-Target``, which those to SQS have."""
        if target is None:
            place = ("s3", method if method in _METHODS else _OTHER)
        else:
            action = target.removeprefix(_SQS)
            place = ("sqs", action if action in _ACTIONS else _OTHER)
        self._numbers[_PLACES[place]] += 1

    def read(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counts by service and by method or action."""
        return {
            service: {name: self._numbers[place] for (of, name), place in _PLACES.items() if of == service}
            for service in SERVICES
        }

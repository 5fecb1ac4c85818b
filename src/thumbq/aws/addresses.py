"""The addresses of a queue and its dead-letter queue, with the attributes that are read once, at the start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thumbq.ports import FIFO_ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class DeadLetterAddress:
    """A dead-letter queue, its limit on the bytes of a message, and how long it keeps messages.

    ``retention_s`` is None when the server does not say: some emulators keep messages for ever.
    """

    url: str
    arn: str
    max_bytes: int
    retention_s: int | None

    @property
    def name(self) -> str:
        """The queue's name."""
        return name_of(self.url)


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue and its dead-letter queue, if it has one."""

    url: str
    arn: str
    dead: DeadLetterAddress | None

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue, and so are its dead letters."""
        return is_fifo(self.name)

    @property
    def name(self) -> str:
        """The queue's name."""
        return name_of(self.url)


def name_of(url: str) -> str:
    """Return a queue's name, the last part of its URL."""
    return url.rstrip("/").rpartition("/")[2]


def is_fifo(name: str) -> bool:
    """Whether a queue's name or URL is that of a FIFO queue."""
    return name.endswith(FIFO_ENDING)


def dead_letter_name(queue: str) -> str:
    """Return the name that `thumbq setup` gives a dead-letter queue; that of a FIFO queue has to be FIFO too."""
    return f"{queue.removesuffix(FIFO_ENDING)}-dlq{FIFO_ENDING}" if is_fifo(queue) else f"{queue}-dlq"


def redrive_policy(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the redrive policy from a queue's attributes; empty when there is none that can be read."""
    try:
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    except ValueError:
        return {}
    return policy if isinstance(policy, dict) else {}


def retention_s(attributes: Mapping[str, str]) -> int | None:
    """Return from a queue's attributes how many seconds it keeps messages."""
    value = attributes.get("MessageRetentionPeriod")
    return None if value is None else int(value)

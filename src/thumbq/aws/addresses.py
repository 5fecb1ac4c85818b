"""The addresses of a queue and its dead-letter queue, with the attributes that are read once, at the start."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.message import MAX_BODY_BYTES
from thumbq.ports import FIFO_ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER: Final = re.compile(r"[0-9]{1,18}")


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
    """A queue, its limit on the bytes of a message, and its dead-letter queue, if it has one."""

    url: str
    arn: str
    dead: DeadLetterAddress | None
    max_bytes: int = MAX_BODY_BYTES

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


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """Where a queue moves its dead letters, and after how many receives.

    ``target_arn`` is empty where it moves none, ``max_receives`` is None where it does not say.
    """

    target_arn: str
    max_receives: int | None


def redrive_policy(attributes: Mapping[str, str]) -> RedrivePolicy:
    """Return the redrive policy from a queue's attributes; one that cannot be read moves nothing."""
    try:
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    except ValueError:
        policy = {}
    if not isinstance(policy, dict):
        policy = {}
    policy = {name: str(value) for name, value in policy.items()}
    return RedrivePolicy(policy.get("deadLetterTargetArn", ""), whole_number(policy, "maxReceiveCount"))


def max_bytes(attributes: Mapping[str, str]) -> int:
    """Return from a queue's attributes how many bytes a message may have, its message attributes with it."""
    return whole_number(attributes, "MaximumMessageSize") or MAX_BODY_BYTES


def retention_s(attributes: Mapping[str, str]) -> int | None:
    """Return from a queue's attributes how many seconds it keeps messages."""
    return whole_number(attributes, "MessageRetentionPeriod")


def whole_number(attributes: Mapping[str, str], name: str) -> int | None:
    """Return the number that an attribute is; None where it is missing or is no number of up to 18 digits."""
    found = _NUMBER.fullmatch(attributes.get(name, ""))
    return None if found is None else int(found[0])

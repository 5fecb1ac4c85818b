"""The port to endpoints of callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Answered:
    """What an endpoint has answered to a call; ``retry_after_s`` is its Retry-After, if it gave one."""

    status: int
    retry_after_s: float | None = None


class WebhookCaller(Protocol):
    """Makes the calls."""

    async def call(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answered:
        """Post a body to an endpoint, and return its answer, whatever the status.

        Raises NotReached when there is none: the address may not be reached, nobody answers, or not in time, or with
        too much.
        """
        ...

"""What a replica is at, at a moment; it is asked for when the metrics are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.ports import QueueCounts


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """Queues by their names in the settings.

    ``in_flight`` messages of ``places``; bytes that are ``held`` of originals and of uploads; who is ``waiting``: jobs
    for a render process, uploads for room, requests for news. ``away`` is whether the store (None) and each queue do
    not answer, ``paused`` whether a queue is. ``counts`` are the last known numbers of messages. ``loop_lag_s`` is how
    late the event loop was.
    """

    in_flight: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    away: Mapping[str | None, bool] = field(default_factory=dict)
    paused: Mapping[str, bool] = field(default_factory=dict)
    counts: Mapping[str, QueueCounts] = field(default_factory=dict)
    loop_lag_s: float = 0.0

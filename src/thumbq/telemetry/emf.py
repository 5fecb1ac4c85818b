"""Metrics as lines of the log that CloudWatch makes metrics of, in its embedded metric format.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format". The metrics have no dimensions: each
dimension's value makes another metric of each, which has its price.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from thumbq.core import callbackmessage
from thumbq.ports.observing import (
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
    from collections.abc import Callable

    from thumbq.ports.observing import Happened
    from thumbq.telemetry.state import ReplicaState

NAMESPACE: Final = "thumbq"
EVERY_S: Final = 60.0
MOST_VALUES: Final = 100
"""As many as CloudWatch takes for a metric in a line."""

_SERVER_ERROR: Final = 500

COUNTS: Final = (
    *("JobsDone", "JobsFailed", "JobsRetried", "UploadsAccepted", "UploadsRefused", "RequestsRefused"),
    *("CallbacksDone", "CallbacksFailed", "CallbacksGivenUp", "EventsDone", "EventsFailed"),
    *("LeasesLost", "HeartbeatsFailed", "RenderProcessesReplaced", "RequestsFailed"),
)
TIMES: Final = {"wait": "WaitTime", "fetch": "FetchTime", "render": "RenderTime", "store": "StoreTime"}
GAUGES: Final = ("StoreAway", "QueuesAway", "MessagesInFlight")


class Values:
    """At most so many of the values that came, evenly spread over all of them."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._every = 1
        self._came = 0
        self.kept: list[float] = []

    def add(self, value: float) -> None:
        """Take one more; where there is no room, every second one goes."""
        if self._came % self._every == 0:
            if len(self.kept) == self._most:
                self.kept = self.kept[::2]
                self._every *= 2
            if self._came % self._every == 0:
                self.kept.append(round(value, 4))
        self._came += 1


class EmfLines:
    """An Observer that counts until a line is made of it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._times: dict[str, Values] = {}

    def observe(self, happened: Happened) -> None:
        """Count one thing; see Observer."""
        if isinstance(happened, StageEnded):
            if (name := TIMES.get(happened.stage)) is not None:
                self._times.setdefault(name, Values()).add(happened.seconds)
        elif (name := _count_of(happened)) is not None:
            self._counts[name] += happened.leases if isinstance(happened, BeatsFailed) else 1

    def line(self, now: float, state: ReplicaState | None = None) -> dict[str, Any]:
        """Return what has happened since the last line, as a line of ``now``, in POSIX seconds.

        ``state`` is what the replica is at; on Lambda there is none.
        """
        values: dict[str, Any] = {name: self._counts[name] for name in COUNTS}
        units = dict.fromkeys(COUNTS, "Count")
        for name, times in self._times.items():
            values[name], units[name] = times.kept, "Seconds"
        if state is not None:
            away = {queue for queue, is_away in state.away.items() if is_away}
            gauges = (int(None in away), len(away - {None}), sum(state.in_flight.values()))
            values.update(zip(GAUGES, gauges, strict=True))
            units.update(dict.fromkeys(GAUGES, "Count"))
        self._counts.clear()
        self._times.clear()
        metrics = [{"Name": name, "Unit": unit} for name, unit in units.items()]
        directive = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics}
        return {"_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}, **values}


_ENDINGS: Final = {
    **{("attempt", ending): f"Jobs{ending.capitalize()}" for ending in ("done", "failed", "retried")},
    **{("callback", ending): f"Callbacks{name}" for ending, name in (("done", "Done"), ("failed", "Failed"))},
    ("callback", "given-up"): "CallbacksGivenUp",
    **{("event", ending): f"Events{ending.capitalize()}" for ending in ("done", "failed")},
}

_NAMES: Final[dict[type, Callable[[Any], str | None]]] = {
    Attempted: lambda one: None if one.queue == callbackmessage.QUEUE else _ENDINGS.get(("attempt", one.ending)),
    Told: lambda one: _ENDINGS.get((one.by, one.ending)),
    Uploaded: lambda one: "UploadsAccepted" if one.code is None else "UploadsRefused",
    Answered: lambda one: "RequestsRefused" if one.status >= _SERVER_ERROR else None,
    Called: lambda one: "RequestsFailed" if one.status is None or one.status >= _SERVER_ERROR else None,
    LeaseLost: lambda _: "LeasesLost",
    BeatsFailed: lambda _: "HeartbeatsFailed",
    ProcessReplaced: lambda _: "RenderProcessesReplaced",
}


def _count_of(happened: Happened) -> str | None:
    return _NAMES[type(happened)](happened)

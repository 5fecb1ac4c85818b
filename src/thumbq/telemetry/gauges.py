"""Gauges: what the replica is at, read when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

from thumbq.telemetry.families import FAMILIES, PREFIX
from thumbq.telemetry.state import ReplicaState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry

    _Values = Iterator[tuple[tuple[str, ...], float]]

_STATES: Final = ("visible", "in_flight", "delayed", "dead")
ONE_QUEUE: Final = "default"
"""The name of a queue that has none, since it is the only one."""


class Gauges:
    """A collector of prometheus_client's. ``version`` is that of thumbq."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._version = version
        self._state: Callable[[], ReplicaState] = ReplicaState
        registry.register(self)

    def reads(self, state: Callable[[], ReplicaState]) -> None:
        """Ask this from now on."""
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all gauges as they are now."""
        now = self._state()
        for family in FAMILIES:
            if family.kind == "gauge":
                gauge = GaugeMetricFamily(PREFIX + family.name, family.text, labels=family.labels)
                for labels, value in self._values(family.name, now):
                    gauge.add_metric(labels, value)
                yield gauge

    def _values(self, name: str, now: ReplicaState) -> _Values:
        return iter([((self._version,), 1.0)]) if name == "build_info" else _VALUES[name](now)


def _places(now: ReplicaState) -> _Values:
    return (((queue or ONE_QUEUE,), total) for queue, total in now.places.items())


def _in_flight(now: ReplicaState) -> _Values:
    return (((queue or ONE_QUEUE,), taken) for queue, taken in now.in_flight.items())


def _outage(now: ReplicaState) -> _Values:
    for queue, is_away in now.away.items():
        yield ("store", "") if queue is None else ("queue", queue or ONE_QUEUE), float(is_away)


def _paused(now: ReplicaState) -> _Values:
    return (((queue or ONE_QUEUE,), float(is_paused)) for queue, is_paused in now.paused.items())


def _messages(now: ReplicaState) -> _Values:
    for queue, counts in now.counts.items():
        for state in _STATES:
            yield (queue or ONE_QUEUE, state), getattr(counts, state)


_VALUES: Final[dict[str, Callable[[ReplicaState], _Values]]] = {
    "messages_in_flight": _in_flight,
    "places": _places,
    "held_bytes": lambda now: (((of,), held) for of, held in now.held.items()),
    "waiting": lambda now: (((what,), number) for what, number in now.waiting.items()),
    "outage": _outage,
    "paused": _paused,
    "queue_messages": _messages,
    "event_loop_lag_seconds": lambda now: iter([((), now.loop_lag_s)]),
}

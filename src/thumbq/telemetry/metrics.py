"""The metrics of a replica for Prometheus: all names, units and labels, and what each thing that happens adds to them.

Each replica has a registry of its own. Labels have values that are known beforehand: names of the settings, codes,
routes, statuses. Never a key, an id, a tenant, or a host that a stranger has named; what is none of the known ones is
``other``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from thumbq.core import callbackmessage
from thumbq.core.retry import JOB_CODES
from thumbq.ports.observing import (
    CAUSES,
    Answered,
    Attempted,
    BeatsFailed,
    Called,
    Happened,
    LeaseLost,
    ProcessReplaced,
    StageEnded,
    Told,
    Uploaded,
)
from thumbq.telemetry.bounded import Bounded, status_of
from thumbq.telemetry.families import FAMILIES, PREFIX, Family
from thumbq.telemetry.gauges import ONE_QUEUE, Gauges
from thumbq.telemetry.knownseries import attempt_label, known_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thumbq.telemetry.state import ReplicaState

_BUCKETS: Final = {
    "http_request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    "stage_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
}
_BYTES: Final[dict[str, str]] = {"fetch": "fetched_bytes_total", "store": "stored_bytes_total"}
NO_ROUTE: Final = "none"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
_MOST_CODES: Final = 100
"""Codes of uploads, and calls of AWS, are thumbq's own, about fifty; a bug must not make series without end."""


class Metrics:
    """An Observer that counts, and an Exposition of what it has counted and of what the replica is at.

    ``queues`` are the names of the queues in the settings, ``routes`` the paths of the HTTP side, ``events`` whether
    any are published. ``trace_id`` gives the trace that now goes on, for exemplars.
    """

    def __init__(
        self,
        *,
        queues: Iterable[str],
        routes: Iterable[str],
        events: bool = False,
        trace_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # its only form
        self._registry = CollectorRegistry(auto_describe=True)
        self._gauges = Gauges(self._registry)
        self._trace_id = trace_id
        names = {name or ONE_QUEUE for name in queues}
        self._queue = Bounded(names)
        self._route = Bounded({NO_ROUTE, *routes})
        self._method = Bounded(_METHODS)
        self._job_code = Bounded({"", *JOB_CODES})
        self._upload_code = Bounded((), grows_to=_MOST_CODES)
        self._cause = Bounded(CAUSES)
        self._call = Bounded((), grows_to=_MOST_CODES)
        self._children: dict[tuple[str, ...], Any] = {}
        self._takers: dict[type, Callable[[Any], None]] = {
            Answered: self._answered,
            Attempted: self._attempted,
            StageEnded: self._stage_ended,
            Uploaded: self._uploaded,
            Told: self._told,
            Called: self._called,
            LeaseLost: self._lease_lost,
            BeatsFailed: self._beats_failed,
            ProcessReplaced: self._process_replaced,
        }
        self._families = {family.name: self._make(family) for family in FAMILIES if family.kind != "gauge"}
        for key in known_series(names, events=events):
            self._series(*key)

    def observe(self, happened: Happened) -> None:
        """Count one thing; see Observer."""
        self._takers[type(happened)](happened)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text; see Exposition."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def reads(self, state: Callable[[], ReplicaState]) -> None:
        """Have ``state`` asked for what the replica is at, each time that the metrics are."""
        self._gauges.reads(state)

    def _make(self, family: Family) -> Counter | Histogram:
        if family.kind == "counter":
            return Counter(PREFIX + family.name, family.text, family.labels, registry=self._registry)
        buckets = _BUCKETS[family.name]
        return Histogram(PREFIX + family.name, family.text, family.labels, registry=self._registry, buckets=buckets)

    def _series(self, *key: str) -> Any:
        """Return the series of a family's name and the values of its labels; the library looks it up once."""
        if (series := self._children.get(key)) is None:
            name, *labels = key
            family = self._families[name]
            series = self._children[key] = family.labels(*labels) if labels else family
        return series

    def _add(self, number: float, *key: str) -> None:
        self._series(*key).inc(number)

    def _took(self, seconds: float, *key: str) -> None:
        trace_id = self._trace_id()
        self._series(*key).observe(seconds, None if trace_id is None else {"trace_id": trace_id})

    def _answered(self, one: Answered) -> None:
        route = self._route.of(one.route or NO_ROUTE)
        self._add(1, "http_requests_total", route, self._method.of(one.method), str(one.status))
        self._took(one.seconds, "http_request_duration_seconds", route)
        self._add(one.bytes_in, "http_received_bytes_total")
        self._add(one.bytes_out, "http_sent_bytes_total")

    def _attempted(self, one: Attempted) -> None:
        if one.queue == callbackmessage.QUEUE:
            return  # its calls are told as such
        self._add(1, "jobs_total", self._queue_of(one.queue), one.ending, self._job_code.of(one.code or ""))

    def _stage_ended(self, one: StageEnded) -> None:
        queue = self._queue_of(one.queue)
        self._took(one.seconds, "stage_duration_seconds", queue, one.stage)
        if (name := _BYTES.get(one.stage)) is not None:
            self._add(one.size, name, queue)

    def _uploaded(self, one: Uploaded) -> None:
        outcome = "accepted" if one.code is None else "refused"
        self._add(1, "uploads_total", outcome, self._upload_code.of(one.code or ""))
        self._add(one.size, "upload_bytes_total")

    def _told(self, one: Told) -> None:
        self._add(1, "notifications_total", one.by, one.ending, attempt_label(one.attempt))

    def _called(self, one: Called) -> None:
        service, _, call = self._call.of(f"{one.service} {one.call}").partition(" ")
        self._add(1, "aws_requests_total", service, call, status_of(one.status))

    def _lease_lost(self, one: LeaseLost) -> None:
        self._add(1, "leases_lost_total", self._queue_of(one.queue))

    def _beats_failed(self, one: BeatsFailed) -> None:
        self._add(one.leases, "heartbeats_failed_total", self._queue_of(one.queue))

    def _process_replaced(self, one: ProcessReplaced) -> None:
        self._add(1, "render_processes_replaced_total", self._cause.of(one.cause))

    def _queue_of(self, name: str) -> str:
        return self._queue.of(name or ONE_QUEUE)

"""The metrics of a replica for Prometheus: all names, units and labels, and what each thing that happens adds to them.

Each replica has a registry of its own. Labels have values that are known beforehand: names of the settings, codes,
routes, statuses. Never a key, an id, a tenant, or a host that a stranger has named; what is none of the known ones is
``other``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
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
from thumbq.telemetry.bounded import Bounded, Remembered, status_of
from thumbq.telemetry.counted import Counted
from thumbq.telemetry.gauges import ONE_QUEUE, Gauges
from thumbq.telemetry.knownseries import attempt_label, known_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thumbq.telemetry.counted import Count, Times
    from thumbq.telemetry.state import ReplicaState

_BYTES: Final[dict[str, str]] = {"fetch": "fetched_bytes_total", "store": "stored_bytes_total"}
NO_ROUTE: Final = "none"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
_MOST_CODES: Final = 100
"""Codes of uploads, and calls of AWS, are thumbq's own, about fifty; a bug must not make series without end."""


class Metrics:
    """An Observer that counts, and an Exposition of what it has counted and of what the replica is at.

    ``queues`` are the names of the queues in the settings, ``routes`` the paths of the HTTP side, ``events`` whether
    any are published; ``version`` is that of thumbq. ``trace_id`` gives the trace that now goes on, for exemplars.
    """

    def __init__(
        self,
        *,
        queues: Iterable[str],
        routes: Iterable[str],
        version: str,
        events: bool = False,
        trace_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._gauges = Gauges(self._registry, version)
        self._trace_id = trace_id
        names = {name or ONE_QUEUE for name in queues}
        self._queue = Bounded(names)
        self._route = Bounded({NO_ROUTE, *routes})
        self._method = Bounded(_METHODS)
        self._job_code = Bounded({"", *JOB_CODES})
        self._upload_code = Bounded((), grows_to=_MOST_CODES)
        self._cause = Bounded(CAUSES)
        self._call = Bounded((), grows_to=_MOST_CODES)
        self._counted = Counted(self._registry)
        for name, *labels in known_series(names, events=events):
            self._counted.has(name, *labels)
        self._received = self._counted.count("http_received_bytes_total")
        self._sent = self._counted.count("http_sent_bytes_total")
        self._upload_bytes = self._counted.count("upload_bytes_total")
        self._stages = Remembered(self._of_stage)
        self._answers = Remembered(self._of_answer)
        self._jobs = Remembered(self._of_attempt)
        self._calls = Remembered(self._of_call)
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

    def _answered(self, one: Answered) -> None:
        requests, times = self._answers[one.route, one.method, one.status]
        requests.value += 1
        times.add(one.seconds, self._trace_id())
        self._received.value += one.bytes_in
        self._sent.value += one.bytes_out

    def _attempted(self, one: Attempted) -> None:
        if one.queue != callbackmessage.QUEUE:  # its calls are told as such
            self._jobs[one.queue, one.ending, one.code].value += 1

    def _stage_ended(self, one: StageEnded) -> None:
        times, sizes = self._stages[one.queue, one.stage]
        times.add(one.seconds, self._trace_id())
        if sizes is not None:
            sizes.value += one.size

    def _uploaded(self, one: Uploaded) -> None:
        outcome = "accepted" if one.code is None else "refused"
        self._counted.count("uploads_total", outcome, self._upload_code.of(one.code or "")).value += 1
        self._upload_bytes.value += one.size

    def _told(self, one: Told) -> None:
        self._counted.count("notifications_total", one.by, one.ending, attempt_label(one.attempt)).value += 1

    def _called(self, one: Called) -> None:
        self._calls[one.service, one.call, one.status].value += 1

    def _lease_lost(self, one: LeaseLost) -> None:
        self._counted.count("leases_lost_total", self._queue_of(one.queue)).value += 1

    def _beats_failed(self, one: BeatsFailed) -> None:
        self._counted.count("heartbeats_failed_total", self._queue_of(one.queue)).value += one.leases

    def _process_replaced(self, one: ProcessReplaced) -> None:
        self._counted.count("render_processes_replaced_total", self._cause.of(one.cause)).value += 1

    def _of_answer(self, route: str | None, method: str, status: int) -> tuple[Count, Times]:
        path = self._route.of(route or NO_ROUTE)
        requests = self._counted.count("http_requests_total", path, self._method.of(method), str(status))
        return requests, self._counted.times("http_request_duration_seconds", path)

    def _of_attempt(self, queue: str, ending: str, code: str | None) -> Count:
        return self._counted.count("jobs_total", self._queue_of(queue), ending, self._job_code.of(code or ""))

    def _of_stage(self, queue: str, stage: str) -> tuple[Times, Count | None]:
        label, sizes = self._queue_of(queue), _BYTES.get(stage)
        times = self._counted.times("stage_duration_seconds", label, stage)
        return times, None if sizes is None else self._counted.count(sizes, label)

    def _of_call(self, service: str, call: str, status: int | None) -> Count:
        service, _, call = self._call.of(f"{service} {call}").partition(" ")
        return self._counted.count("aws_requests_total", service, call, status_of(status))

    def _queue_of(self, name: str) -> str:
        return self._queue.of(name or ONE_QUEUE)

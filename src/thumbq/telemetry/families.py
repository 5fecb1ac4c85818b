"""All metrics that there are: names, kinds, labels and what they are, as Prometheus is told and the documents say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "thumbq_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; ``name`` without the prefix."""

    kind: Literal["counter", "histogram", "gauge"]
    name: str
    labels: tuple[str, ...]
    text: str


FAMILIES: Final = (
    Family("gauge", "build_info", ("version",), "The release of thumbq: always 1."),
    Family("counter", "http_requests_total", ("route", "method", "status"), "HTTP requests by route and answer."),
    Family("histogram", "http_request_duration_seconds", ("route",), "From an HTTP request to its answer."),
    Family("counter", "http_received_bytes_total", (), "Bytes of bodies of HTTP requests."),
    Family("counter", "http_sent_bytes_total", (), "Bytes of bodies of HTTP answers."),
    Family("counter", "uploads_total", ("outcome", "code"), "Files of uploads: accepted, or refused with a code."),
    Family("counter", "upload_bytes_total", (), "Bytes of accepted files of uploads."),
    Family("counter", "jobs_total", ("queue", "outcome", "code"), "Attempts at jobs: done, failed, retried, settled."),
    Family("histogram", "stage_duration_seconds", ("queue", "stage"), "Stages: wait, fetch, render, store, ack."),
    Family("counter", "fetched_bytes_total", ("queue",), "Bytes of originals that jobs have fetched."),
    Family("counter", "stored_bytes_total", ("queue",), "Bytes of renditions that jobs have stored."),
    Family("counter", "notifications_total", ("by", "outcome", "attempt"), "Calls of callbacks, and sends of events."),
    Family(
        "counter",
        "aws_requests_total",
        ("service", "call", "result"),
        "Requests to AWS: S3 by method or LIST, others by action.",
    ),
    Family("counter", "leases_lost_total", ("queue",), "Leases that were lost before their jobs had ended."),
    Family("counter", "heartbeats_failed_total", ("queue",), "Heartbeats of leases without an answer, or refused."),
    Family("counter", "render_processes_replaced_total", ("cause",), "Render processes that were replaced."),
    Family("gauge", "messages_in_flight", ("queue",), "Messages that this replica works on."),
    Family("gauge", "places", ("queue",), "Room for messages in flight."),
    Family("gauge", "held_bytes", ("of",), "Bytes that originals and uploads hold in memory."),
    Family("gauge", "waiting", ("for",), "Jobs that wait for a render, uploads for room, requests for news."),
    Family("gauge", "outage", ("part", "queue"), "1 while the store or a queue does not answer, else 0."),
    Family("gauge", "paused", ("queue",), "1 while nothing is received from a queue since it is paused, else 0."),
    Family("gauge", "queue_messages", ("queue", "state"), "Messages of a queue: visible, in_flight, delayed, dead."),
    Family("gauge", "event_loop_lag_seconds", (), "The longest delay of the event loop in the last 15 s."),
)
BY_NAME: Final = {family.name: family for family in FAMILIES}

"""The figures of the whole service, and what their names mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.bench.requestcounts import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    Requests = Mapping[str, Mapping[str, int]]

SERVICE_LEGEND: Final[Mapping[str, str]] = {
    "jobs/s": "from the first message sent to the last manifest stored",
    "parent": "CPU ms a job, user and system, of the service's own process",
    "render": "CPU ms a job of all below it: render processes, their fork server",
    "total": "both",
    "S3, SQS": "requests a job that the service has sent, each try of one counted",
    "PSS": "MiB at the most, all processes; what they share counts once",
    "start": "CPU ms of all processes from launch to ready",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What the service has used since its start: CPU seconds of its own process and of all below, and requests.

    ``requests`` is None for a local directory.
    """

    parent_s: float
    render_s: float
    requests: Requests | None

    def since(self, before: Usage) -> Usage:
        """Return what was used since then."""
        requests = None
        if self.requests is not None and before.requests is not None:
            requests = {
                service: {
                    name: number - before.requests[service][name]
                    for name, number in counts.items()
                    if number > before.requests[service][name]
                }
                for service, counts in self.requests.items()
            }
        return Usage(self.parent_s - before.parent_s, self.render_s - before.render_s, requests)


@dataclass(frozen=True, slots=True)
class ServiceMeasured:
    """What ``jobs`` of one mix took. ``pss_bytes`` is None where the system does not tell it to this user."""

    mix: str
    files: tuple[str, ...]
    jobs: int
    bytes: int
    seconds: float
    used: Usage
    start_cpu_s: float
    pss_bytes: int | None

    @property
    def jobs_a_second(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    def cpu_ms(self) -> dict[str, float]:
        """Return CPU milliseconds a job."""
        parent, render = (1000 * seconds / self.jobs for seconds in (self.used.parent_s, self.used.render_s))
        return {"parent": parent, "render": render, "total": parent + render}

    def requests_a_job(self) -> dict[str, float] | None:
        """Return requests a job, None for a local directory."""
        if self.used.requests is None:
            return None
        return {service: sum(self.used.requests[service].values()) / self.jobs for service in SERVICES}

    def document(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "mix": self.mix,
            "files": list(self.files),
            "jobs": self.jobs,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "jobs_a_second": self.jobs_a_second,
            "cpu_ms": self.cpu_ms(),
            "requests": self.used.requests,
            "requests_a_job": self.requests_a_job(),
            "pss_bytes": self.pss_bytes,
            "start_cpu_ms": 1000 * self.start_cpu_s,
        }

"""Settings of the work on queues: jobs in flight, leases, the stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from thumbq.core.units import MIB
from thumbq.ports import MAX_LEASE_S
from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator


class WorkSettings(BaseModel):
    """How a replica works on its queues."""

    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="Jobs in flight; by default `PROCESSES` + 12, so that one request brings ten.",
    )
    visibility_timeout_s: int = Field(
        default=30,
        ge=4,
        le=MAX_LEASE_S,
        description="How long a message stays hidden without a heartbeat; at most 12 h.",
    )
    heartbeat_s: int | None = Field(
        default=None, ge=1, description="Time between heartbeats; by default a third of the visibility time-out."
    )
    wait_time_s: int = Field(
        default=20,
        ge=0,
        le=20,
        description="Long poll; SQS allows at most 20 s, and 0 is [short polling](queues.md#short-and-long-polling).",
    )
    shutdown_deadline_s: int = Field(default=30, ge=3, description="From SIGTERM to the exit; 1 s more if it hangs.")
    max_source_bytes: int = Field(default=200 * MIB, ge=1, description="Largest original that a job fetches.")
    max_in_flight_bytes: int = Field(
        default=512 * MIB, ge=32 * MIB, description="Originals in memory at once, together; a larger one goes alone."
    )

    @property
    def beat_interval_s(self) -> float:
        """How long after a receive or a beat the next beat is due."""
        return self.heartbeat_s or self.visibility_timeout_s / 3

    def work_faults(self) -> Iterator[Fault]:
        """Yield the conflicts among these."""
        if self.heartbeat_s is not None and self.heartbeat_s >= self.visibility_timeout_s:
            yield fault(
                "heartbeat_s",
                "visibility_timeout_s",
                what=f"a heartbeat every {self.heartbeat_s} s comes too late for a visibility time-out of "
                f"{self.visibility_timeout_s} s",
                fix="lower THUMBQ_HEARTBEAT_S to a third of THUMBQ_VISIBILITY_TIMEOUT_S, or unset it",
            )

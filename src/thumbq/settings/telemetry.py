"""Settings of what a replica tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator


class TelemetrySettings(BaseModel):
    """Whether there are metrics, and where."""

    metrics: bool = Field(
        default=False,
        description="Whether there are [metrics](metrics.md), at `/metrics` for tokens with the scope `admin`;"
        " `METRICS_PORT` has them too.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Another port on `HOST` that has `/metrics` for everybody, and nothing else; 0 takes a free one.",
    )
    emf: bool = Field(
        default=False,
        description="Whether the log gets CloudWatch's embedded metrics: a line each minute, on Lambda for each batch.",
    )

    @property
    def has_metrics(self) -> bool:
        """Whether what happens is counted for Prometheus."""
        return self.metrics or self.metrics_port is not None

    def telemetry_faults(self, port: int) -> Iterator[Fault]:
        """Yield the conflicts among these, and with the service's own port."""
        if self.metrics_port == port != 0:
            what = f"THUMBQ_METRICS_PORT and THUMBQ_PORT are both {port}"
            yield fault("metrics_port", "port", what=what, fix="give metrics another port, or unset it")

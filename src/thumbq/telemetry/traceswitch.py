"""Whether there are traces: by OpenTelemetry's own variables. Where there are none, nothing of it is loaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import structlog

from thumbq.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.telemetry.traces import Traces

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# OpenTelemetry Specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_DISABLED: Final = "OTEL_SDK_DISABLED"
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_PROTOCOL: Final = "http/protobuf"


def open_traces(*, system: str, queues: Mapping[str, str], replica: str, version: str) -> Traces | None:
    """Return the traces of this process, or None; what keeps those that are wanted away is a warning.

    ``system`` is the messaging system, ``queues`` has the queues' own names by those in the settings.
    """
    if _first(_ENDPOINTS) is None or os.environ.get(_DISABLED, "").strip().lower() == "true":
        return None
    opened = _opened(system=system, queues=queues, replica=replica, version=version)
    if isinstance(opened, Problem):
        log.warning("traces.off", problem=opened.what, fix=opened.fix)
        return None
    return opened


def _opened(**about: Any) -> Traces | Problem:
    exporter, protocol = os.environ.get(_EXPORTER) or "otlp", _first(_PROTOCOLS) or _PROTOCOL
    if exporter not in {"otlp", "none"}:
        return Problem(f"{_EXPORTER} is {exporter!r}", "set it to otlp or none, or unset it")
    if protocol != _PROTOCOL and exporter == "otlp":
        fix = f"send to the collector's port for HTTP (4318), and set the protocol to {_PROTOCOL}"
        return Problem(f"traces are not sent by {protocol!r}", fix)
    try:
        from thumbq.telemetry.traces import Traces  # noqa: PLC0415 - takes 0.1 s, and most have no traces

        return Traces(**about, exported=exporter == "otlp")
    except ImportError as error:
        return Problem(f"OpenTelemetry is not installed: {error}", "pip install 'thumbq[otel]'")
    except (ValueError, OSError) as error:  # a number that is none, a certificate that is missing
        return Problem(f"OpenTelemetry cannot be set up: {error}", "correct the variables OTEL_…")


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)

"""Whether there are traces: by OpenTelemetry's own variables. Where there are none, nothing of it is loaded."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

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
_NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def open_traces(*, system: str, queues: Mapping[str, str], replica: str, version: str) -> Traces | None:
    """Return the traces of this process, or None; what keeps those that are wanted away is a warning.

    ``system`` is the messaging system, ``queues`` has the queues' own names by those in the settings.
    """
    if not _wanted():
        return None
    if (problem := traces_problem()) is None:
        try:
            from thumbq.telemetry.traces import Traces  # noqa: PLC0415 - takes 0.1 s, and most have no traces

            exported = _exporter() == "otlp"
            return Traces(system=system, queues=queues, replica=replica, version=version, exported=exported)
        except (ValueError, OSError) as error:  # a number that is none, a certificate that is missing
            problem = Problem(f"OpenTelemetry cannot be set up: {error}", "correct the variables OTEL_…")
        except Exception as error:  # noqa: BLE001 - versions that do not go together: protobuf's error is of no kind
            problem = Problem(f"OpenTelemetry cannot be loaded: {error}", "pip install --upgrade 'thumbq[otel]'")
    log.warning("traces.off", problem=problem.what, fix=problem.fix)
    return None


def traces_problem() -> Problem | None:
    """Return what is seen, without loading anything, to keep away traces that are wanted."""
    if not _wanted():
        return None
    exporter, protocol = _exporter(), _first(_PROTOCOLS) or _PROTOCOL
    if exporter not in {"otlp", "none"}:
        return Problem(f"{_EXPORTER} is {exporter!r}", "set it to otlp or none, or unset it")
    if protocol != _PROTOCOL and exporter == "otlp":
        fix = f"send to the collector's port for HTTP (4318), and set the protocol to {_PROTOCOL}"
        return Problem(f"traces are not sent by {protocol!r}", fix)
    if missing := [name for name in _NEEDED if not _is_installed(name)]:
        what = f"traces are asked for, and OpenTelemetry is not installed: there is no {missing[0]}"
        return Problem(what, "pip install 'thumbq[otel]'")
    return None


def _wanted() -> bool:
    return _first(_ENDPOINTS) is not None and os.environ.get(_DISABLED, "").strip().lower() != "true"


def _exporter() -> str:
    return os.environ.get(_EXPORTER) or "otlp"


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package around it
        return False


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)

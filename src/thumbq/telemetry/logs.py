"""Structured logs on standard error: JSON lines, or colours on a terminal."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import structlog

from thumbq.ports.tracing import trace_at_work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_EVERY_S: Final = 60.0
_MAX_ERROR: Final = 300
"""Characters: a collector may answer with a page."""


class _Lossy:
    """A stream that drops lines which cannot be written: its reader is gone, or the disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _ExportersLines(logging.Filter):
    """Takes out what OpenTelemetry says of each try to export, and tells of it once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._said_at = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry."):
            return True
        self._count += 1
        now = time.monotonic()
        if now - self._said_at >= _EVERY_S:
            self._said_at = now
            error = record.getMessage()[:_MAX_ERROR]
            log.warning("traces.not_sent", error=error, count=self._count, exc_info=record.exc_info)
            self._count = 0
        return False


def _name_replica(replica: str, _logger: Any, _method: str, line: EventDict) -> EventDict:
    line["replica"] = replica
    return line


def _name_trace(_logger: Any, _method: str, line: EventDict) -> EventDict:
    trace = trace_at_work()
    if trace is not None:
        line["trace_id"], line["span_id"], _ = trace.ids
    return line


def write_document(document: Mapping[str, Any]) -> None:
    """Write a line that programs read and no level holds back, beside the log's own."""
    _Lossy(sys.stderr).write(f"{json.dumps(document)}\n")


def configure(level: str, *, replica: str | None = None) -> None:
    """Send thumbq's events and the warnings of its libraries and of Python to standard error, from ``level`` on.

    Each line of JSON names the ``replica``. A line that cannot be written is lost: logs never take the service down.
    """
    stream = cast("TextIO", _Lossy(sys.stderr))
    terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _name_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
    ]
    if replica is not None and not terminal:
        shared.append(partial(_name_replica, replica))
    if terminal:
        rendering: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        # Without local variables: they hold clients' data.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        rendering = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(_ExportersLines())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)

"""What the code under test logs: nothing, or into the trace; a bug that it caught and logged is a violation."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from simulation.referee import Referee


class Listener:
    """A processor that hands log lines to the referee of the run that is on."""

    def __init__(self) -> None:
        self.referee: Referee | None = None

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        referee, name = self.referee, str(event["event"])
        if referee is not None:
            if name == "job.bug":
                referee.violated(f"a bug: {event}")
            if referee.keep_trace:
                what = " ".join(f"{key}={value}" for key, value in event.items() if key not in {"event", "exc_info"})
                referee.comment(f"{name} {what}")
        raise structlog.DropEvent


@contextmanager
def listening(*, everything: bool, cached: bool) -> Iterator[Listener]:
    """Listen to what is logged: errors only, or everything, which takes a while."""
    before, listener = structlog.get_config(), Listener()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, listener],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if everything else logging.ERROR),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=cached,
    )
    try:
        yield listener
    finally:
        structlog.configure(**before)

"""How many files, pipes and sockets the process may have open, and what is left of them for connections."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.callbackretry import MAX_CALLS
from thumbq.core.targetarn import places
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from thumbq.settings import Settings

MAX_CONNECTIONS: Final = 8192
"""The most that are kept, whatever the limit: each may hold some 100 KB."""

_MIN_CONNECTIONS: Final = 16
_FEW_CONNECTIONS: Final = 64

# Counted on Linux: the interpreter, its event loop, a fork server, the log, the listening sockets, and room for modules
# and certificates that are read; of each render process 11 pipes and sockets.
_BASE: Final = 48
_PER_PROCESS: Final = 12
_PER_JOB: Final = 3  # the memory file of its original, once more while it is handed over, and the file that is read
_LOCAL: Final = 48  # the database with its journal, and a file for each of anyio's 40 threads
_METRICS: Final = 32  # connections to their own port
_CLIENTS: Final = 3  # of S3 and SQS, each with connections of its own, as those that events are published by
_HIGHEST_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the limit leaves: ``connections`` at once, and what will hurt one day if that is little."""

    connections: int
    warning: Problem | None


def raise_limit() -> int:
    """Raise the limit of open files as far as the process may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _HIGHEST_LIMIT if hard == resource.RLIM_INFINITY else min(hard, _HIGHEST_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a system that has another, lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return _HIGHEST_LIMIT if soft == resource.RLIM_INFINITY else soft


def backend_connections(settings: Settings) -> int:
    """Return how many connections each client of S3 and SQS may have."""
    return settings.jobs_in_flight * len(settings.queue_configs) + settings.max_uploads


def needed(settings: Settings) -> int:
    """Return how many files, pipes and sockets the work needs when all its places are taken."""
    backend = _LOCAL if settings.local is not None else _clients(settings) * backend_connections(settings)
    calls = 0 if settings.webhooks is None else MAX_CALLS
    metrics = 0 if settings.metrics_port is None else _METRICS
    return _BASE + _PER_PROCESS * settings.processes + _PER_JOB * settings.jobs_in_flight + backend + calls + metrics


def _clients(settings: Settings) -> int:
    return _CLIENTS + len(places(settings.events))


def share(limit: int, settings: Settings) -> Descriptors:
    """Return what a limit of open files leaves for connections. Raises SetupError when it is too low to start."""
    least = _BASE + _PER_PROCESS * settings.processes + _MIN_CONNECTIONS
    fix = "raise it (ulimit -n, LimitNOFILE= of systemd, ulimits of Docker), or lower THUMBQ_PROCESSES"
    if limit < least:
        what = f"the process may open {limit} files (ulimit -n), and {settings.processes} render processes take {least}"
        raise SetupError([Problem(what, fix)])
    connections = min(MAX_CONNECTIONS, max(_MIN_CONNECTIONS, limit - needed(settings)))
    if connections >= _FEW_CONNECTIONS:
        return Descriptors(connections, None)
    what = f"the process may open {limit} files (ulimit -n), which leaves {connections} for connections"
    return Descriptors(connections, Problem(what, fix))

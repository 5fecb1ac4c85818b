"""The queues that a replica works on, however few there are, and how their settings must agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem, SetupError
from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.settings.model import Settings
    from thumbq.settings.tables import QueueTable

STOP_RESERVE_S: Final = 2
"""What a long poll has to leave of the shutdown's deadline."""


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """One queue, with everything that is left out in the settings filled in.

    ``name`` is what ``priority`` calls it, empty for the only one. ``queue`` is that of SQS, by name or URL, or the
    local backend's name of it; None is the queue that a local directory has without any name.
    """

    name: str
    queue: str | None
    weight: int | None
    wait_time_s: int
    default: bool


def configs_of(settings: Settings) -> tuple[QueueConfig, ...]:
    """Return the queues to work on, the most urgent first: `[[queues]]`, or the one that there is."""
    wait_time_s = settings.wait_time_s
    if not settings.queues:
        return (QueueConfig("", settings.queue, None, wait_time_s, default=True),)
    default = next((table for table in settings.queues if table.default), settings.queues[0])
    return tuple(
        QueueConfig(
            name=table.name,
            queue=table.queue or table.name,
            weight=table.weight,
            wait_time_s=wait_time_s if table.wait_time_s is None else table.wait_time_s,
            default=table is default,
        )
        for table in settings.queues
    )


def default_queue(settings: Settings) -> QueueConfig:
    """Return the queue that takes what comes without a priority."""
    return next(config for config in configs_of(settings) if config.default)


def only_queue(settings: Settings, name: str | None) -> Settings:
    """Return settings with no other queue than the one of this name in `[[queues]]`; None leaves all there are.

    Raises SetupError when there is none of this name.
    """
    if name is None:
        return settings
    for table in settings.queues:
        if table.name == name:
            return settings.model_copy(update={"queues": (table,)})
    names = ", ".join(table.name for table in settings.queues)
    fix = f"name one of {names}" if names else "leave it out: without [[queues]] in thumbq.toml there is just one"
    raise SetupError([Problem(f"there is no queue named {name}", fix)])


def for_queue(settings: Settings, config: QueueConfig) -> Settings:
    """Return the settings as they are for the work on one queue."""
    return settings.model_copy(update={"wait_time_s": config.wait_time_s})


def queue_faults(settings: Settings) -> Iterator[Fault]:
    """Yield what is wrong between `[[queues]]` and the other settings."""
    tables = settings.queues
    if settings.queue and tables:
        what = "THUMBQ_QUEUE and [[queues]] exclude each other"
        yield fault("queue", "queues", what=what, fix="unset THUMBQ_QUEUE and give it a table, or remove the tables")
    if settings.bucket:
        for table in tables:
            if not table.queue:
                what = f"the queue {table.name} does not say which of SQS it is"
                yield fault("queues", "bucket", what=what, fix=f'put queue = "…" into the table of {table.name}')
    yield from _doubled(tables)
    if sum(table.default for table in tables) > 1:
        names = ", ".join(table.name for table in tables if table.default)
        yield fault("queues", what=f"several queues are the default one: {names}", fix="leave default to one of them")
    without = [table.name for table in tables if table.weight is None]
    if without and len(without) < len(tables):
        what = f"some queues have a weight, and these have none: {', '.join(without)}"
        yield fault("queues", what=what, fix="give each a weight, or none: then the order decides")
    if settings.bucket:
        yield from _long_polls(settings)


def _doubled(tables: Sequence[QueueTable]) -> Iterator[Fault]:
    for name, times in Counter(table.name for table in tables).items():
        if times > 1:
            yield fault("queues", what=f"{times} queues have the name {name}", fix="give each a name of its own")
    by_queue: dict[str, dict[str, None]] = {}
    for table in tables:
        by_queue.setdefault(table.queue or table.name, {})[table.name] = None
    for queue, names in by_queue.items():
        if len(names) > 1:
            what = f"{', '.join(names)} are one and the same queue, {queue}"
            yield fault("queues", what=what, fix="remove all but one of them")


def _long_polls(settings: Settings) -> Iterator[Fault]:
    most_s = settings.shutdown_deadline_s - STOP_RESERVE_S
    raised = "or raise THUMBQ_SHUTDOWN_DEADLINE_S to 2 s more than it"
    ends = f"does not end within a shutdown of {settings.shutdown_deadline_s} s"
    fields = ("bucket", "shutdown_deadline_s")
    own = [table for table in settings.queues if table.wait_time_s is not None]
    if settings.wait_time_s > most_s and (not settings.queues or len(own) < len(settings.queues)):
        what = f"a long poll of {settings.wait_time_s} s {ends}"
        yield fault(*fields, "wait_time_s", what=what, fix=f"lower THUMBQ_WAIT_TIME_S, {raised}")
    for table in own:
        if (table.wait_time_s or 0) > most_s:
            what = f"a long poll of {table.wait_time_s} s on the queue {table.name} {ends}"
            yield fault(*fields, "queues", what=what, fix=f"lower its wait_time_s, {raised}")

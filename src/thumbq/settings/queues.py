"""The queues that a replica works on, however few there are, and the conflicts between their tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ONLY_QUEUE: Final = "default"
"""What the only queue is called where it needs a name."""

QUEUE_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"

STOP_RESERVE_S: Final = 2
"""What a long poll has to leave of the shutdown's deadline."""


class QueueTable(BaseModel):
    """One of several queues that a replica works on; without weights, those that are listed first come first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=QUEUE_NAME)] = Field(description="What `priority` calls it.")
    queue: str | None = Field(default=None, description="SQS queue, by name or URL. A local directory needs none.")
    weight: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        strict=True,
        description="Its share of the renders while others wait too. All queues have one or none has: then the order"
        " decides.",
    )
    wait_time_s: int | None = Field(
        default=None, ge=0, le=20, description="Long poll of this queue; by default `THUMBQ_WAIT_TIME_S`."
    )
    default: bool = Field(
        default=False, description="Takes what comes without a `priority`; by default the first one does."
    )


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

    @property
    def label(self) -> str:
        """Its name for people and in addresses: the only queue has one too."""
        return self.name or ONLY_QUEUE

    @property
    def own_name(self) -> str:
        """What the backend calls it; the only queue of a local directory is ``local``."""
        return self.queue or "local"


def queue_configs(tables: Sequence[QueueTable], *, queue: str | None, wait_time_s: int) -> tuple[QueueConfig, ...]:
    """Return the queues of the tables, the most urgent first; without any table, the one that ``queue`` names."""
    if not tables:
        return (QueueConfig("", queue, None, wait_time_s, default=True),)
    default = next((table for table in tables if table.default), tables[0])
    return tuple(
        QueueConfig(
            name=table.name,
            queue=table.queue or table.name,
            weight=table.weight,
            wait_time_s=wait_time_s if table.wait_time_s is None else table.wait_time_s,
            default=table is default,
        )
        for table in tables
    )


def table_faults(tables: Sequence[QueueTable], *, on_sqs: bool) -> Iterator[Fault]:
    """Yield what is wrong in the tables together; ``on_sqs`` each has to name a queue of SQS."""
    for table in tables:
        if on_sqs and not table.queue:
            what = f"the queue {table.name} does not say which of SQS it is"
            yield fault("queues", "bucket", what=what, fix=f'put queue = "…" into the table of {table.name}')
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
    if sum(table.default for table in tables) > 1:
        listed = ", ".join(table.name for table in tables if table.default)
        yield fault("queues", what=f"several queues are the default one: {listed}", fix="leave default to one of them")
    without = [table.name for table in tables if table.weight is None]
    if without and len(without) < len(tables):
        what = f"some queues have a weight, and these have none: {', '.join(without)}"
        yield fault("queues", what=what, fix="give each a weight, or none: then the order decides")


def long_poll_faults(tables: Sequence[QueueTable], *, wait_time_s: int, shutdown_deadline_s: int) -> Iterator[Fault]:
    """Yield which long polls of SQS, which end in their own time, are too long for a shutdown."""
    most_s = shutdown_deadline_s - STOP_RESERVE_S
    raised = "or raise THUMBQ_SHUTDOWN_DEADLINE_S to 2 s more than it"
    ends = f"does not end within a shutdown of {shutdown_deadline_s} s"
    fields = ("bucket", "shutdown_deadline_s")
    own = [table for table in tables if table.wait_time_s is not None]
    if wait_time_s > most_s and (not tables or len(own) < len(tables)):
        what = f"a long poll of {wait_time_s} s {ends}"
        yield fault(*fields, "wait_time_s", what=what, fix=f"lower THUMBQ_WAIT_TIME_S, {raised}")
    for table in own:
        if (table.wait_time_s or 0) > most_s:
            what = f"a long poll of {table.wait_time_s} s on the queue {table.name} {ends}"
            yield fault(*fields, "queues", what=what, fix=f"lower its wait_time_s, {raised}")

"""All settings together, and the conflicts between them. Each one and its check stand in a file by subject."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from thumbq.core import callbackmessage
from thumbq.core.catalog import Catalog, Route
from thumbq.core.preset import BUILT_IN, Preset
from thumbq.core.quoting import suggestion
from thumbq.settings.access import AccessSettings
from thumbq.settings.backend import BackendSettings
from thumbq.settings.door import ANY as ANY_ORIGIN
from thumbq.settings.door import DoorSettings
from thumbq.settings.events import EventSettings
from thumbq.settings.faults import Fault, SettingsConflict, fault
from thumbq.settings.http import HttpSettings
from thumbq.settings.queues import QueueConfig, QueueTable, long_poll_faults, queue_configs, table_faults
from thumbq.settings.rendering import RenderSettings
from thumbq.settings.retention import RetentionSettings
from thumbq.settings.telemetry import TelemetrySettings
from thumbq.settings.webhooks import WebhookSettings
from thumbq.settings.work import WorkSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "THUMBQ_"

_AHEAD: Final = 12
_ANY_SOURCE: Final = "uploads/a source.jpg"


class Settings(
    TelemetrySettings,
    RetentionSettings,
    EventSettings,
    WebhookSettings,
    RenderSettings,
    WorkSettings,
    AccessSettings,
    DoorSettings,
    HttpSettings,
    BackendSettings,
):
    """All settings, as they were given. ``load`` gathers them, and reports everything that is wrong at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level to log.")
    presets: dict[str, Preset] = Field(
        default={preset.name: preset for preset in BUILT_IN},
        description="`[presets.NAME]` tables.",
    )
    routes: tuple[Route, ...] = Field(
        default=(Route(prefix="pngfiles/", presets=("jpgfiles",)),),
        description="`[[routes]]` tables: `prefix`, `presets`.",
    )
    queues: tuple[QueueTable, ...] = Field(
        default=(), description="`[[queues]]` tables, instead of `THUMBQ_QUEUE`: several queues with priorities."
    )

    @field_validator("presets", mode="before")
    @classmethod
    def _name_presets(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            return tables
        named: dict[str, Any] = {preset.name: preset for preset in BUILT_IN}
        for name, table in tables.items():
            # None is refused, beside all else that is wrong with the tables; ``loading`` says why.
            named[name] = table | {"name": None if "name" in table else name} if isinstance(table, dict) else table
        return named

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        faults = [
            *(*self._backend_faults(), *self.access_faults(), *self._door_faults(), *self.work_faults()),
            *(*self.render_faults(), *self.webhook_faults(), *self.telemetry_faults(self.port)),
            *(*self._queue_faults(), *self._preset_faults(), *self._route_faults()),
            *self.retention_faults(self.catalog),
        ]
        if faults:
            raise SettingsConflict(faults)
        return self

    def _backend_faults(self) -> Iterator[Fault]:
        both = ("bucket", "queue")
        if self.local and (self.bucket or self.queue):
            what = "THUMBQ_LOCAL and THUMBQ_BUCKET/THUMBQ_QUEUE exclude each other"
            yield fault("local", *both, what=what, fix="unset one side")
        elif bool(self.bucket) != bool(self.queue) and not self.queues:
            missing = "THUMBQ_QUEUE" if self.bucket else "THUMBQ_BUCKET"
            what = f"{missing} is missing: S3 and SQS need both a bucket and a queue"
            yield fault(*both, "queues", what=what, fix="set it")

    def _door_faults(self) -> Iterator[Fault]:
        if ANY_ORIGIN in self.cors_origins and self.access != "open":
            what = "THUMBQ_CORS_ORIGINS = '*' lets the pages of all sites in, and THUMBQ_ACCESS is not 'open'"
            fix = "name the origins, or set THUMBQ_ACCESS=open, where everybody may do everything"
            yield fault("access", "cors_origins", what=what, fix=fix)

    def _queue_faults(self) -> Iterator[Fault]:
        if self.queue and self.queues:
            what = "THUMBQ_QUEUE and [[queues]] exclude each other"
            fix = "unset THUMBQ_QUEUE and give it a table, or remove the tables"
            yield fault("queue", "queues", what=what, fix=fix)
        yield from table_faults(self.queues, on_sqs=bool(self.bucket))
        if self.webhooks_queue is not None:
            for config in self.queue_configs:
                if config.name == callbackmessage.QUEUE or self.webhooks_queue.queue == config.queue:
                    what = f"the queue {config.name or config.queue} has a name that callbacks take"
                    yield fault("queue", "queues", "webhooks", what=what, fix="give it another name")
        if self.bucket:
            yield from long_poll_faults(
                self.queues, wait_time_s=self.wait_time_s, shutdown_deadline_s=self.shutdown_deadline_s
            )

    def _preset_faults(self) -> Iterator[Fault]:
        for one, other in combinations(self.presets.values(), 2):
            if _keys(one) & _keys(other):
                what = f"the presets {one.name} and {other.name} write the same key, {other.key!r}"
                yield fault("presets", what=what, fix="put {preset} into the key of one")

    def _route_faults(self) -> Iterator[Fault]:
        for route in self.routes:
            for name in route.presets:
                if name not in self.presets:
                    what = f"the route {route.prefix!r} names no preset: {name}{suggestion(name, self.presets)}"
                    yield fault("routes", "presets", what=what, fix="name one that is there, or define it")
            if self.catalog.is_output(route.prefix):
                what = f"the route {route.prefix!r} lies under thumbq's own outputs, which are never sources"
                yield fault("routes", "presets", what=what, fix="give it another prefix")

    @property
    def catalog(self) -> Catalog:
        """The presets, the routes and where outputs lie."""
        return Catalog(self.presets, self.routes)

    @property
    def jobs_in_flight(self) -> int:
        """How many jobs a replica works on at once."""
        return self.concurrency or self.processes + _AHEAD

    @property
    def queue_configs(self) -> tuple[QueueConfig, ...]:
        """The queues to work on, the most urgent first: `[[queues]]`, or the one that there is."""
        return queue_configs(self.queues, queue=self.queue, wait_time_s=self.wait_time_s)

    @property
    def default_queue(self) -> QueueConfig:
        """The queue that takes what comes without a priority."""
        return next(config for config in self.queue_configs if config.default)

    @property
    def webhooks_queue(self) -> QueueConfig | None:
        """The queue of callbacks, beside the default one; None where none are called."""
        if self.webhooks is None:
            return None
        default = self.default_queue
        queue = callbackmessage.queue_name(default.queue or "")
        return QueueConfig(callbackmessage.QUEUE, queue, None, default.wait_time_s, default=False)

    @property
    def opened_queues(self) -> tuple[QueueConfig, ...]:
        """All queues that a replica opens: the queue of callbacks is the last one."""
        return self.queue_configs if self.webhooks_queue is None else (*self.queue_configs, self.webhooks_queue)

    @property
    def queue_weights(self) -> dict[str, int | None]:
        """The names of the queues in their order, each with its weight; what core/fairness.py takes."""
        return {config.name: config.weight for config in self.queue_configs}


def _keys(preset: Preset) -> set[str]:
    return {preset.rendition_key(_ANY_SOURCE, content_type) for content_type in preset.content_types}

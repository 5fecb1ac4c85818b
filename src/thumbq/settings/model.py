"""The settings themselves: each one's unit, default and check, and the conflicts between them."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from thumbq.core.catalog import Catalog, Route
from thumbq.core.preset import BUILT_IN, Preset
from thumbq.core.quoting import suggestion
from thumbq.core.units import MIB
from thumbq.ports import MAX_LEASE_S
from thumbq.settings.faults import Fault, SettingsConflict, fault
from thumbq.settings.queues import QueueConfig, QueueTable, long_poll_faults, queue_configs, table_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "THUMBQ_"

_AHEAD: Final = 12
_ANY_SOURCE: Final = "uploads/a source.jpg"

_DECODE_BYTES: Final = 512 * MIB
_DECODE_SHARE: Final = 0.75


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_decode_bytes(render_memory_bytes: int) -> int:
    """Return how much of a render process's memory decoding may take; the rest is for Python and the libraries."""
    return int(render_memory_bytes * _DECODE_SHARE)


Seconds = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """All settings, as they were given. ``load`` gathers them, and reports everything that is wrong at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    config: Path | None = Field(default=None, description="Settings file; `thumbq.toml` here when there is one.")
    local: Path | None = Field(default=None, description="Directory of the embedded backend.")
    bucket: str | None = Field(default=None, description="S3 bucket of originals, renditions and manifests.")
    queue: str | None = Field(default=None, description="SQS queue, by name or URL.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    processes: int = Field(
        default_factory=_usable_cpus, ge=1, le=256, description="Render processes; by default one per usable CPU."
    )
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
    max_upload_bytes: int = Field(default=25 * MIB, ge=1, description="Largest file in an upload.")
    max_upload_files: int = Field(default=20, ge=1, description="Most files in one upload request.")
    max_uploads: int = Field(
        default=8,
        ge=1,
        description="Files of the largest size that uploads may hold in memory at once; smaller ones share their room."
        " An upload that finds none waits 5 s and is then answered 503.",
    )
    upload_expiry_s: int = Field(
        default=900, ge=1, le=604_800, description="How long a presigned upload can be used; at most a week."
    )
    max_source_bytes: int = Field(default=200 * MIB, ge=1, description="Largest original that a job fetches.")
    max_in_flight_bytes: int = Field(
        default=512 * MIB, ge=32 * MIB, description="Originals in memory at once, together; a larger one goes alone."
    )
    render_timeout_s: Seconds = Field(default=60, description="Wall-clock and CPU time of one render.")
    render_memory_bytes: int = Field(
        default=1024 * MIB, ge=128 * MIB, description="Memory that one render process may allocate."
    )
    max_decode_bytes: int | None = Field(
        default=None,
        ge=16 * MIB,
        description="Memory that decoding an image may be predicted to take; by default 512 MiB, or three quarters of"
        " `RENDER_MEMORY_BYTES` if that is less.",
    )
    max_decode_cpu_s: Seconds = Field(default=20, description="CPU time that decoding may be predicted to take.")
    max_scans: int = Field(default=100, ge=1, description="Scans of a progressive JPEG.")
    max_frames: int = Field(default=500, ge=1, description="Frames of an animation that stays one.")
    max_animation_pixels: int = Field(
        default=250_000_000, ge=1, description="Pixels of all frames together of an animation that stays one."
    )
    render_max_jobs: int = Field(default=1000, ge=1, description="Jobs after which a render process is replaced.")
    render_max_growth_bytes: int = Field(
        default=64 * MIB, ge=16 * MIB, description="Growth of a render process after which it is replaced."
    )
    sandbox: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="Whether render processes are shut in by the kernel: `auto`, with a warning where that cannot be;"
        " `required`, or `thumbq` does not start; `off`.",
    )
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

    @field_validator("local", mode="before")
    @classmethod
    def _named(cls, directory: Any) -> Any:
        # An unset shell variable; as a path it would mean the current directory.
        if directory == "":
            raise ValueError("it is empty: name a directory")
        return directory

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
        faults = [*self._backend_faults(), *self._queue_faults(), *self._preset_faults(), *self._route_faults()]
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
        if self.heartbeat_s is not None and self.heartbeat_s >= self.visibility_timeout_s:
            yield fault(
                "heartbeat_s",
                "visibility_timeout_s",
                what=f"a heartbeat every {self.heartbeat_s} s comes too late for a visibility time-out of "
                f"{self.visibility_timeout_s} s",
                fix="lower THUMBQ_HEARTBEAT_S to a third of THUMBQ_VISIBILITY_TIMEOUT_S, or unset it",
            )
        if self.decode_bytes > most_decode_bytes(self.render_memory_bytes):
            yield fault(
                "max_decode_bytes",
                "render_memory_bytes",
                what=f"decoding may take {self.decode_bytes // MIB} MiB, more than three quarters of the"
                f" {self.render_memory_bytes // MIB} MiB of a render process; the rest is for Python and the libraries",
                fix="lower THUMBQ_MAX_DECODE_BYTES, or raise THUMBQ_RENDER_MEMORY_BYTES",
            )

    def _queue_faults(self) -> Iterator[Fault]:
        if self.queue and self.queues:
            what = "THUMBQ_QUEUE and [[queues]] exclude each other"
            fix = "unset THUMBQ_QUEUE and give it a table, or remove the tables"
            yield fault("queue", "queues", what=what, fix=fix)
        yield from table_faults(self.queues, on_sqs=bool(self.bucket))
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
    def queue_weights(self) -> dict[str, int | None]:
        """The names of the queues in their order, each with its weight; what core/fairness.py takes."""
        return {config.name: config.weight for config in self.queue_configs}

    @property
    def decode_bytes(self) -> int:
        """How much memory decoding an image may be predicted to take."""
        return self.max_decode_bytes or min(_DECODE_BYTES, most_decode_bytes(self.render_memory_bytes))

    @property
    def beat_interval_s(self) -> float:
        """How long after a receive or a beat the next beat is due."""
        return self.heartbeat_s or self.visibility_timeout_s / 3


def _keys(preset: Preset) -> set[str]:
    return {preset.rendition_key(_ANY_SOURCE, content_type) for content_type in preset.content_types}

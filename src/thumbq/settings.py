"""Every setting: its unit, its default, its check.

Scalars come from ``THUMBQ_*`` variables or from ``thumbq.toml`` (the variable wins), presets and routes from the
file. Endpoints, region, profile and credentials are not here: they are botocore's own variables.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from thumbq.core import keys
from thumbq.core.preset import PRESET_NAME, THUMBNAIL, Preset
from thumbq.errors import Problem, SetupError

PREFIX: Final = "THUMBQ_"
DEFAULT_FILE: Final = Path("thumbq.toml")
MIB: Final = 1 << 20

# Kubernetes puts these into every pod beside a Service named thumbq or thumbq-something ("service links").
_SERVICE_LINK: Final = re.compile(
    r"THUMBQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)"
)
_SERVICE_LINK_URL: Final = re.compile(r"(tcp|udp|sctp)://")


def _is_service_link(name: str, value: str) -> bool:
    is_url = name.endswith("_PORT") and _SERVICE_LINK_URL.match(value) is not None
    return is_url or _SERVICE_LINK.fullmatch(name) is not None


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Seconds = Annotated[int, Field(ge=1)]


class Route(BaseModel):
    """Which presets are made of originals under a key prefix; the longest prefix that fits wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    presets: tuple[str, ...] = Field(min_length=1)


class Settings(BaseSettings):
    """All settings. Build it with ``load``, which reports everything that is wrong at once."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    config: Path | None = Field(default=None, description="Settings file; `thumbq.toml` here when there is one.")
    local: Path | None = Field(default=None, description="Directory of the embedded backend.")
    bucket: str | None = Field(default=None, description="S3 bucket of originals, renditions and manifests.")
    queue: str | None = Field(default=None, description="SQS queue, by name or URL.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    processes: int = Field(
        default_factory=_usable_cpus, ge=1, le=256, description="Render processes; by default one per usable CPU."
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=1_000, description="Jobs in flight; by default `PROCESSES` + 4, to hide S3's latency."
    )
    visibility_timeout_s: int = Field(
        default=30, ge=4, le=43_200, description="How long a message stays hidden without a heartbeat; at most 12 h."
    )
    wait_time_s: int = Field(default=20, ge=0, le=20, description="Long poll; SQS allows at most 20 s.")
    shutdown_deadline_s: int = Field(default=30, ge=3, description="From SIGTERM to the exit, at the most.")
    max_upload_bytes: int = Field(default=25 * MIB, ge=1, description="Largest file in an upload.")
    max_upload_files: int = Field(default=20, ge=1, description="Most files in one upload request.")
    max_uploads: int = Field(
        default=16,
        ge=1,
        description="Upload requests at once; one more is answered 503. Each may hold one file in memory.",
    )
    max_source_bytes: int = Field(default=200 * MIB, ge=1, description="Largest original that a job fetches.")
    render_timeout_s: Seconds = Field(default=60, description="Wall-clock and CPU time of one render.")
    render_memory_bytes: int = Field(
        default=1024 * MIB, ge=128 * MIB, description="Memory that one render process may allocate."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level to log.")
    presets: dict[str, Preset] = Field(
        default={THUMBNAIL.name: THUMBNAIL}, validate_default=True, description="`[presets.NAME]` tables."
    )
    routes: tuple[Route, ...] = Field(default=(), description="`[[routes]]` tables: `prefix`, `presets`.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files; the name is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no secrets; the name is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: command line, environment (without Kubernetes' service links), file."""
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(init_settings, InitSettingsSource)
        env_settings.env_vars = {
            name: value
            for name, value in env_settings.env_vars.items()
            if not _is_service_link(name.upper(), value or "") and name.upper() not in _FILE_ONLY
        }
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        named = init_settings.init_kwargs.get("config")
        return (*sources, TomlConfigSettingsSource(settings_cls, Path(named) if named else DEFAULT_FILE))

    @field_validator("presets", mode="before")
    @classmethod
    def _name_presets(cls, tables: Any) -> Any:
        if not isinstance(tables, dict):
            return tables
        named: dict[str, Any] = {THUMBNAIL.name: THUMBNAIL}
        for name, table in tables.items():
            if not PRESET_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no preset name: use lower-case letters, digits, - and _")
            named[name] = {**table, "name": name} if isinstance(table, dict) else table
        return named

    @field_validator("queue")
    @classmethod
    def _standard_queue(cls, queue: str | None) -> str | None:
        if queue is not None and queue.endswith(".fifo"):
            raise ValueError("FIFO queues are not supported yet; name a standard queue")
        return queue

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.local and (self.bucket or self.queue):
            raise ValueError("THUMBQ_LOCAL and THUMBQ_BUCKET/THUMBQ_QUEUE exclude each other: unset one side")
        if bool(self.bucket) != bool(self.queue):
            missing = "THUMBQ_QUEUE" if self.bucket else "THUMBQ_BUCKET"
            raise ValueError(f"{missing} is missing: S3 and SQS need both a bucket and a queue")
        if self.bucket and self.wait_time_s > self.shutdown_deadline_s - 2:
            raise ValueError(
                f"a long poll of {self.wait_time_s} s does not end within a shutdown of {self.shutdown_deadline_s} s: "
                "lower THUMBQ_WAIT_TIME_S, or raise THUMBQ_SHUTDOWN_DEADLINE_S to 2 s more than it"
            )
        for route in self.routes:
            for name in route.presets:
                if name not in self.presets:
                    raise ValueError(
                        f"the route {route.prefix!r} names no preset: {name}{_suggest(name, self.presets)}"
                    )
            if self.is_output(route.prefix):
                raise ValueError(f"the route {route.prefix!r} lies under thumbq's own outputs, which are never sources")
        return self

    @property
    def jobs_in_flight(self) -> int:
        """How many jobs a replica works on at once."""
        return self.concurrency or self.processes + 4

    def is_output(self, key: str) -> bool:
        """Whether a key lies where thumbq writes: it is then never a source, or events would start a loop."""
        return key.startswith((keys.MANIFESTS_PREFIX, *(preset.output_prefix for preset in self.presets.values())))

    def presets_for(self, source_key: str) -> tuple[Preset, ...]:
        """Return the presets that the routes give an original; without a matching route that is ``thumbnail``."""
        matching = [route for route in self.routes if source_key.startswith(route.prefix)]
        names = max(matching, key=lambda route: len(route.prefix)).presets if matching else (THUMBNAIL.name,)
        return tuple(self.presets[name] for name in names)


_FILE_ONLY: Final = frozenset({f"{PREFIX}PRESETS", f"{PREFIX}ROUTES"})
_VARIABLES: Final = tuple(
    name for name in (f"{PREFIX}{field.upper()}" for field in Settings.model_fields) if name not in _FILE_ONLY
)


def load(**overrides: Any) -> Settings:
    """Read the settings from ``overrides`` (the command line; None is not given), the environment and the file.

    Raises SetupError with every problem that was found: unknown names come with the nearest known one.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    given.setdefault("config", os.environ.get(f"{PREFIX}CONFIG") or None)
    problems = _unknown_variables()
    if given["config"] is not None and not Path(given["config"]).is_file():
        problems.append(
            Problem(f"there is no settings file {given['config']}", "name an existing one, or leave it out")
        )
        given["config"] = None
    settings: Settings | None = None
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_explain(entry) for entry in error.errors()]
    except tomllib.TOMLDecodeError as error:
        name = given["config"] or DEFAULT_FILE
        problems.append(Problem(f"{name} is no valid TOML: {error}", "mend it at the place that is named"))
    if problems or settings is None:
        raise SetupError(problems)
    return settings


def _unknown_variables() -> list[Problem]:
    return [
        Problem(f"{name} is no setting of thumbq{_suggest(name, _VARIABLES)}", "correct or unset it")
        if name not in _FILE_ONLY
        else Problem(f"{name} cannot be a variable", f"write [{name.removeprefix(PREFIX).lower()}] into thumbq.toml")
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name not in _VARIABLES and not _is_service_link(name, value)
    ]


def _explain(entry: Any) -> Problem:
    path = [str(part) for part in entry["loc"]]
    text = entry["msg"].removeprefix("Value error, ")
    if not path:
        return Problem(text, "change the settings so that they agree (README has the table)")
    where = ".".join(path)
    if entry["type"] == "extra_forbidden":
        known = {"presets": Preset.model_fields, "routes": Route.model_fields}.get(path[0], Settings.model_fields)
        return Problem(f"thumbq.toml: {where} is no setting{_suggest(path[-1], known)}", "correct or remove it")
    if len(path) == 1 and path[0] not in {"presets", "routes"}:
        where = f"{PREFIX}{path[0].upper()}"
        return Problem(f"{where} = {entry['input']!r}: {text}", "give a value of that kind (README has the table)")
    return Problem(f"{where}: {text}", "mend it in thumbq.toml")


def _suggest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def markdown_table() -> str:
    """Return the table of settings that README shows; a test holds the two together."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = f"{PREFIX}{name.upper()}"
        label = f"`{variable}`" if variable in _VARIABLES else "in `thumbq.toml`"
        plain = field.default is None or field.default_factory is not None or variable in _FILE_ONLY
        default = "" if plain else f"`{field.default}`"
        rows.append(f"| {label} | {default} | {field.description} |")
    return "\n".join(rows)

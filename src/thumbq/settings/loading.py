"""The sources of settings, and the report of all that is wrong in them."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from thumbq.core import callbackmessage
from thumbq.core.catalog import Route
from thumbq.core.preset import PRESET_NAME, Preset
from thumbq.core.quoting import suggestion
from thumbq.errors import Problem, SetupError
from thumbq.settings.access import problems_to_serve
from thumbq.settings.model import PREFIX, Settings
from thumbq.settings.queues import QueueTable
from thumbq.settings.webhooks import WebhooksTable, secret_problems

DEFAULT_FILE: Final = Path("thumbq.toml")

# Kubernetes puts these into every pod beside a Service named thumbq or thumbq-something ("service links").
_SERVICE_LINK: Final = re.compile(
    r"THUMBQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)"
)
_SERVICE_LINK_URL: Final = re.compile(r"(tcp|udp|sctp)://")

_TABLES: Final[dict[str, type[BaseModel]]] = {
    "presets": Preset,
    "routes": Route,
    "queues": QueueTable,
    "webhooks": WebhooksTable,
}
_TYPES: Final = {"tuple_type": "Input should be a list", "model_type": "Input should be a table"}
"""Messages of pydantic in the words of TOML."""

_FILE_ONLY: Final = frozenset(f"{PREFIX}{field.upper()}" for field in (*_TABLES, "retention"))
_VARIABLES: Final = tuple(
    name for name in (f"{PREFIX}{field.upper()}" for field in Settings.model_fields) if name not in _FILE_ONLY
)


@dataclass(frozen=True, slots=True)
class _Sources:
    """The values of each source, the strongest first."""

    options: dict[str, Any]
    variables: dict[str, Any]
    table: dict[str, Any]
    file: Path

    def values(self) -> dict[str, Any]:
        return {**self.table, **self.variables, **self.options}

    def place_of(self, field: str) -> str:
        """Return where the value of a field is written: an option, a variable, or a place in the file."""
        if field in self.options:
            return f"--{field}"
        return f"{PREFIX}{field.upper()}" if field in self.variables else f"{self.file}: {field}"


def load(*, serving: bool = False, **overrides: Any) -> Settings:
    """Read the settings from ``overrides`` (the command line; None is not given), the environment and the file.

    With ``serving`` they are also such as a service may start with: clients are asked for tokens, or are let in, and
    callbacks can be signed.

    Raises SetupError with every problem that was found: unknown names come with the nearest known one.
    """
    return load_with_places(serving=serving, **overrides)[0]


def load_with_places(*, serving: bool = False, **overrides: Any) -> tuple[Settings, dict[str, str]]:
    """Do what ``load`` does, and return also where each setting that is given is written, by its field."""
    options = {name: value for name, value in overrides.items() if value is not None}
    variables = _variables()
    problems = _unknown_variables()
    named = options.get("config", variables.get("config"))
    file = DEFAULT_FILE if named is None else Path(named)
    table: dict[str, Any] = {}
    unread: frozenset[str] = frozenset()
    try:
        table = _read(file, must_exist=named is not None)
    except SetupError as error:
        problems += error.problems
        unread = frozenset(Settings.model_fields) - {*options, *variables}
    if table.pop("config", None) is not None:
        problems.append(
            Problem(f"{file}: config is no setting of a file", "name the file with --config or THUMBQ_CONFIG")
        )
    sources = _Sources(options, variables, table, file)
    problems += _problems(sources, sources.values(), unread)
    if serving and not unread & {"access", "tokens", "tokens_file"}:
        problems += problems_to_serve(sources.values())
    if serving:
        problems += secret_problems(sources.values())
    if problems:
        raise SetupError(problems)
    values = sources.values()
    return Settings(**values), {field: sources.place_of(field) for field in values}


def file_in_use(settings: Settings) -> Path | None:
    """Return the settings file that these were read from; None when there was none."""
    if settings.config is not None:
        return settings.config
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def only_queue(settings: Settings, name: str | None, *, or_webhooks: bool = False) -> Settings:
    """Return settings with no other queue than the one of this name in `[[queues]]`; None leaves all there are.

    With ``or_webhooks`` it may be the queue of callbacks, too. Raises SetupError when there is none of this name.
    """
    if name is None:
        return settings
    callbacks = settings.webhooks_queue
    if or_webhooks and callbacks is not None and name == callbacks.name:
        return settings.model_copy(update={"queues": (), "queue": callbacks.queue, "webhooks": None})
    for table in settings.queues:
        if table.name == name:
            return settings.model_copy(update={"queues": (table,)})
    names = ", ".join(table.name for table in settings.queues)
    fix = f"name one of {names}" if names else "leave it out: without [[queues]] in thumbq.toml there is just one"
    if or_webhooks and name == callbackmessage.QUEUE:
        fix = "write [webhooks] into thumbq.toml: without it there is no queue of callbacks"
    raise SetupError([Problem(f"there is no queue named {name}", fix)])


def _variables() -> dict[str, str]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in os.environ.items()
        if value and name in _VARIABLES and not _is_service_link(name, value)
    }


def _unknown_variables() -> list[Problem]:
    return [
        Problem(f"{name} is no setting of thumbq{suggestion(name, _VARIABLES)}", "correct or unset it")
        if name not in _FILE_ONLY
        else Problem(f"{name} cannot be a variable", f"write [{name.removeprefix(PREFIX).lower()}] into thumbq.toml")
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name not in _VARIABLES and not _is_service_link(name, value)
    ]


def _is_service_link(name: str, value: str) -> bool:
    is_url = name.endswith("_PORT") and _SERVICE_LINK_URL.match(value) is not None
    return is_url or _SERVICE_LINK.fullmatch(name) is not None


def _read(file: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
        # The table of settings has them in capitals, and files may too.
        return {name.lower() if name.lower() in Settings.model_fields else name: table[name] for name in table}
    except FileNotFoundError:
        if not must_exist:
            return {}
        problem = Problem(f"there is no settings file {file}", "name an existing one, or leave it out")
    except OSError as error:
        problem = Problem(f"cannot read {file}: {error.strerror}", "make it a file that thumbq may read, or remove it")
    except UnicodeDecodeError as error:
        problem = Problem(f"{file} is not UTF-8 from byte {error.start} on", "save it as UTF-8")
    except ValueError as error:  # of TOML, or of a number with thousands of digits
        problem = Problem(f"{file} is no valid TOML: {error}", "mend it at the place that is named")
    except RecursionError:
        problem = Problem(f"{file} is no valid TOML: lists are too deep in each other", "mend it")
    raise SetupError([problem])


def _problems(sources: _Sources, values: dict[str, Any], unread: frozenset[str]) -> list[Problem]:
    """Return all that is wrong with ``values``, without the conflicts that ``unread`` fields may be in."""
    try:
        Settings(**values)
    except ValidationError as error:
        entries = _own(error.errors())
    else:
        return []
    invalid = frozenset(str(entry["loc"][0]) for entry in entries if entry["loc"])
    if not invalid:
        faults = [fault for entry in entries for fault in entry["ctx"]["error"].faults]
        return [fault.problem for fault in faults if not fault.fields & unread]
    # pydantic looks for conflicts only when each field is valid by itself.
    others = {name: value for name, value in values.items() if name not in invalid}
    return [_explain(entry, sources) for entry in entries] + _problems(sources, others, unread | invalid)


def _own(entries: list[Any]) -> list[Any]:
    """Return the faults without those that only follow: of a list pydantic counts no items that are wrong."""
    wrong_items = {entry["loc"][:-1] for entry in entries}
    return [entry for entry in entries if entry["type"] != "too_short" or entry["loc"] not in wrong_items]


def _explain(entry: Any, sources: _Sources) -> Problem:
    path = [str(part) for part in entry["loc"]]
    where, text = ".".join(path), _TYPES.get(entry["type"], entry["msg"].removeprefix("Value error, "))
    if entry["type"] == "extra_forbidden":
        known = _TABLES.get(path[0], Settings).model_fields
        return Problem(f"{sources.file}: {where} is no setting{suggestion(path[-1], known)}", "correct or remove it")
    if len(path) == 1 and path[0] not in _TABLES:
        shown = f" = {entry['input']!r}" if Settings.model_fields[path[0]].repr else ""
        what = f"{sources.place_of(path[0])}{shown}: {text}"
        return Problem(what, "give a value of that kind (`thumbq docs settings` has the table)")
    if path[0] == "presets" and path[2:] == ["name"]:
        where, text = f"presets.{path[1]}", _misnamed(path[1])
    return Problem(f"{sources.file}: {where}: {text}", f"mend it in {sources.file}")


def _misnamed(name: str) -> str:
    """Say why the name of a preset's table, or one that is written into the table, is refused."""
    if PRESET_NAME.fullmatch(name):
        return "the table has its name in its heading: leave name out"
    return f"{name!r} is no preset name: use lower-case letters, digits, - and _, at most 63"

"""Each setting as it is: its value, without secrets, and where it is written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thumbq.settings import Settings

HIDDEN: Final = "…"
DEFAULT: Final = "default"

_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
_OF_AWS: Final = re.compile(r"AWS_(REGION|DEFAULT_REGION|PROFILE|ENDPOINT_URL\w*|CONFIG_FILE|SHARED_CREDENTIALS_FILE)")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting: ``value`` is JSON, ``source`` an option, a variable, a place in the file, or the default."""

    name: str
    value: Any
    source: str


def values(settings: Settings, places: Mapping[str, str]) -> Iterator[Value]:
    """Yield each setting, and then the variables of AWS that say where the service works, and with whose rights."""
    for name in type(settings).model_fields:
        yield Value(name, _shown(settings, name), places.get(name, DEFAULT))
    for name in sorted(os.environ):
        if _OF_AWS.fullmatch(name) and os.environ[name]:
            yield Value(name, _without_user(os.environ[name]), name)


def _shown(model: BaseModel, name: str) -> Any:
    """Return a field as JSON; one that no representation shows is a secret."""
    value = getattr(model, name)
    if not type(model).model_fields[name].repr and value:
        return HIDDEN
    return _plain(value, model.model_dump(mode="json", include={name})[name])


def _plain(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _shown(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: _plain(value[name], dumped[name]) for name in value}
    if isinstance(value, (list, tuple)):
        return [_plain(each, as_json) for each, as_json in zip(value, dumped, strict=True)]
    return _without_user(dumped) if isinstance(dumped, str) else dumped


def _without_user(text: str) -> str:
    return _USER.sub(f"{HIDDEN}@", text)

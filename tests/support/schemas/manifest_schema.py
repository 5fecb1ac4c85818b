"""The published schema of manifests, for tests that hold what is stored or printed to it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it ships no types

from thumbq.core.manifest import Manifest

TEXT: Final = (files("thumbq.core") / "manifest.schema.json").read_text()
SCHEMA: Final[dict[str, Any]] = json.loads(TEXT)


def faults(manifest: bytes) -> list[str]:
    """Return what the schema has against a manifest: nothing, as it should be."""
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(manifest))]


def of_the_model() -> str:
    """Return what ``manifest.schema.json`` has to be: the JSON Schema of a stored manifest."""
    schema = Manifest.model_json_schema()
    for record in (schema, *schema["$defs"].values()):
        members: dict[str, dict[str, Any]] = record["properties"]
        record["required"] = [name for name, member in members.items() if member.get("default", ...) is not None]
        record["properties"] = {name: _stored(member) for name, member in members.items()}
    return json.dumps(schema, indent=2) + "\n"


def _stored(member: dict[str, Any]) -> dict[str, Any]:
    """Return a member's schema as it is when it is there: null is left out, and so is no default."""
    kind: dict[str, Any] = member.get("anyOf", [{}])[0]
    return {name: value for name, value in member.items() if name not in {"anyOf", "default", "title"}} | kind

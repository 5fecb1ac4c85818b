"""The published schema of manifests, for tests that hold what is stored or printed to it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it ships no types

TEXT: Final = (files("thumbq.core") / "manifest.schema.json").read_text()
SCHEMA: Final[dict[str, Any]] = json.loads(TEXT)


def faults(manifest: bytes) -> list[str]:
    """Return what the schema has against a manifest: nothing, as it should be."""
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(manifest))]

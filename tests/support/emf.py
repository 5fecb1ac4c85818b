"""What CloudWatch says of lines in its embedded metric format: its schema, and what its text asks for besides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # it ships no types

SCHEMA: Final = json.loads((Path(__file__).parent / "schemas" / "emf.schema.json").read_text())
_MOST_BYTES: Final = 256 << 10
_MOST: Final = 100
"""Metrics of a directive, and values of a metric."""


def metrics_of(line: str) -> dict[str, Any]:
    """Return what a line makes metrics of, by name: each a number, or a list of them. Fails where it breaks a rule."""
    assert len(line.encode()) <= _MOST_BYTES
    made: dict[str, Any] = json.loads(line)
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(made)
    found: dict[str, Any] = {}
    for directive in made["_aws"]["CloudWatchMetrics"]:
        assert len(directive["Metrics"]) <= _MOST
        for name in (one for dimensions in directive["Dimensions"] for one in dimensions):
            assert isinstance(made[name], str)
        for metric in directive["Metrics"]:
            value = found[metric["Name"]] = made[metric["Name"]]
            values = value if isinstance(value, list) else [value]
            assert len(values) <= _MOST
            assert all(type(each) in (int, float) for each in values)
    return found

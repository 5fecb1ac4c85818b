"""Writes JSON Schemas of KEDA's ScaledObject and TriggerAuthentication into a directory: ``keda_schema.py DIRECTORY``.

They come from KEDA's own resource definitions, as the package ``cloudcoil-models-keda`` has them (its version is
KEDA's), and are closed: what a definition does not name is an error, as ``kubectl --validate=strict`` has it. Run it in
an environment of its own, as `.ci/run` does.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

KINDS = ("ScaledObject", "TriggerAuthentication")


def closed(schema: Any) -> Any:
    """Return a schema that refuses members it does not name, and null wherever something else may be."""
    if isinstance(schema, list):
        return [closed(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        parts["additionalProperties"] = False
    return parts


def main(directory: str) -> None:
    """Write a schema for each kind."""
    models = importlib.import_module("cloudcoil.models.keda.v1alpha1")
    for kind in KINDS:
        schema = closed(getattr(models, kind).model_json_schema())
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        (Path(directory) / f"{kind}.json").write_text(json.dumps(schema, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The tables of settings and of a preset's options, as the documents have them."""

from __future__ import annotations

import json
from typing import Final

from thumbq.core.preset import Preset
from thumbq.settings import Settings

_FILE_ONLY: Final = ("presets", "routes", "queues")


def of_settings() -> str:
    """Return the table in ``docs/settings.md``."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        label = "in `thumbq.toml`" if name in _FILE_ONLY else f"`THUMBQ_{name.upper()}`"
        plain = field.default is None or field.default_factory is not None or name in _FILE_ONLY
        default = "" if plain else f"`{field.default}`"
        rows.append(f"| {label} | {default} | {field.description} |")
    return "\n".join(rows)


def of_preset() -> str:
    """Return the table in ``docs/presets.md``."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    for name, field in Preset.model_fields.items():
        if name != "name":
            default = "" if field.default is None else f"`{json.dumps(field.default)}`"
            rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)

"""The tables of settings, of a preset's options and of image formats, as the documents have them."""

from __future__ import annotations

import json
from typing import Final

from thumbq.core.formats import ImageFormat
from thumbq.core.preset import Preset
from thumbq.settings import Settings
from thumbq.settings.webhooks import WebhooksTable
from thumbq.telemetry.families import FAMILIES, PREFIX

_FILE_ONLY: Final = ("presets", "routes", "queues", "webhooks", "retention")


def of_settings() -> str:
    """Return the table in ``docs/settings.md``."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        label = "in `thumbq.toml`" if name in _FILE_ONLY else f"`THUMBQ_{name.upper()}`"
        plain = field.default in (None, ()) or field.default_factory is not None or name in _FILE_ONLY
        default = "" if plain else f"`{field.default}`"
        rows.append(f"| {label} | {default} | {field.description} |")
    return "\n".join(rows)


def of_webhooks() -> str:
    """Return the table in ``docs/callbacks.md``."""
    rows = ["| member | default | what it is |", "|---|---|---|"]
    for name, field in WebhooksTable.model_fields.items():
        default = "" if field.is_required() or field.default in (None, ()) else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def of_preset() -> str:
    """Return the table in ``docs/presets.md``."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    for name, field in Preset.model_fields.items():
        if name != "name":
            default = "" if field.default is None else f"`{json.dumps(field.default)}`"
            rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def of_formats() -> str:
    """Return the table in ``docs/images.md``."""
    rows = ["| format | media types | as an original | as a rendition |", "|---|---|---|---|"]
    for known in ImageFormat:
        declared, output = known.value, known.output
        media_types = ", ".join(f"`{name}`" for name in (declared.media_type, *declared.also))
        read = "stills" + " and animations" * declared.animated + (f" ({declared.covers})" if declared.covers else "")
        written = "" if output is None else f"`{known.name.lower()}`: stills" + " and animations" * output.animated
        rows.append(f"| {known.name} | {media_types} | {read} | {written} |")
    return "\n".join(rows)


def of_metrics() -> str:
    """Return the table in ``docs/metrics.md``."""
    rows = ["| metric | labels | what it is |", "|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{PREFIX}{family.name}` ({family.kind}) | {labels} | {family.text} |")
    return "\n".join(rows)

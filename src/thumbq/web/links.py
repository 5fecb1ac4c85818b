"""Links to jobs and renditions, as answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.web.answers import Rendition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thumbq.core.catalog import Catalog
    from thumbq.core.preset import Preset


def job_url(job_id: str) -> str:
    """Return the path of a job."""
    return f"/jobs/{job_id}"


def rendition_url(job_id: str, preset: str) -> str:
    """Return the path of a rendition."""
    return f"{job_url(job_id)}/{preset}"


def future_renditions(catalog: Catalog, source_key: str, names: Sequence[str] | None) -> dict[str, Rendition]:
    """Return links to the renditions of an upload: of the presets with these names, or of the routes'."""
    if names is None:
        presets: Iterable[Preset] = catalog.presets_for(source_key)
    else:
        presets = [catalog.presets[name] for name in names if name in catalog.presets]
    job_id = keys.upload_id(source_key) or ""
    return {preset.name: Rendition(url=rendition_url(job_id, preset.name)) for preset in presets}

"""Which presets a job makes: those of its message, else of its original's metadata, else of the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.core import callback, objectmetadata
from thumbq.core.quoting import quoted
from thumbq.errors import MalformedMessage, UnknownPreset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.catalog import Catalog
    from thumbq.core.job import JobRequest
    from thumbq.core.preset import Preset


@dataclass(frozen=True, slots=True)
class ResolvedPresets:
    """The presets of a job, and its callback's URL. ``presets`` are empty while they depend on unknown metadata."""

    presets: tuple[Preset, ...] = ()
    callback_url: str | None = None


def resolve_presets(
    request: JobRequest, catalog: Catalog, metadata: Mapping[str, str] | None = None
) -> ResolvedPresets:
    """Return what a request asks for; ``metadata`` is None while that of the original is unknown.

    Raises UnknownPreset, and MalformedMessage for a callback in the metadata that is no URL.
    """
    presets: tuple[Preset, ...] = ()
    if request.presets is not None:
        presets = _known(request.presets, catalog, "the message")
    elif metadata is not None:
        names = objectmetadata.presets(metadata)
        presets = (
            catalog.presets_for(request.source.key)
            if names is None
            else _known(names, catalog, f"metadata {objectmetadata.PRESETS}")
        )
    url = request.callback_url
    if url is None and metadata is not None and (url := objectmetadata.callback_url(metadata)) is not None:
        try:
            url = callback.checked(url)
        except ValueError as error:
            raise MalformedMessage(f"the original's metadata {objectmetadata.CALLBACK}: {error}") from error
    return ResolvedPresets(presets, url)


def _known(names: tuple[str, ...], catalog: Catalog, asker: str) -> tuple[Preset, ...]:
    for name in names:
        if name not in catalog.presets:
            raise UnknownPreset(f"{asker} asks for the preset {quoted(name)}, which the settings do not define")
    return tuple(catalog.presets[name] for name in names)

"""What a job is to make: by its message, else by its original's metadata, else by the routes of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import callback, objectmetadata
from thumbq.core.quoting import quoted
from thumbq.errors import MalformedMessage, UnknownPreset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.jobs.manifestwriter import Attempt
    from thumbq.settings import Settings


def settle(attempt: Attempt, settings: Settings, metadata: Mapping[str, str] | None = None) -> None:
    """Fill in the presets and the callback of an attempt.

    ``metadata`` is None while the original's is not known; then presets that the message does not name stay open.
    Raises UnknownPreset, and MalformedMessage for a callback in the metadata that is none.
    """
    request = attempt.request
    if request.presets is not None:
        attempt.presets = [settings.presets[name] for name in _known(request.presets, settings, "the message")]
    if metadata is None:
        return
    if request.presets is None and (names := objectmetadata.presets(metadata)) is not None:
        attempt.presets = [
            settings.presets[name] for name in _known(names, settings, f"metadata {objectmetadata.PRESETS}")
        ]
    elif request.presets is None:
        attempt.presets = settings.catalog.presets_for(request.source.key)
    if request.callback_url is None and (url := objectmetadata.callback_url(metadata)) is not None:
        try:
            attempt.callback_url = callback.checked(url)
        except ValueError as error:
            raise MalformedMessage(f"the original's metadata {objectmetadata.CALLBACK}: {error}") from error


def _known(names: tuple[str, ...], settings: Settings, asker: str) -> tuple[str, ...]:
    for name in names:
        if name not in settings.presets:
            raise UnknownPreset(f"{asker} asks for the preset {quoted(name)}, which the settings do not define")
    return names

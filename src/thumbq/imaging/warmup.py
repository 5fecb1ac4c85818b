"""Small renders that prove that the decoders work here, and make them load their late parts."""

from __future__ import annotations

from typing import Final

from thumbq.core.formats import OUTPUTS
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.render import render

_BMP: Final = b"BM" + bytes.fromhex("3a000000 00000000 36000000 28000000 01000000 01000000 0100 1800") + bytes(28)
"""One black pixel."""

_PRESETS: Final = tuple(
    Preset.model_validate({"name": name, "format": name, "width": 16, "enlarge": True}) for name in OUTPUTS
)


def warm_up() -> None:
    """Render to every format and back. Raises RuntimeError when one fails."""
    for image in _rendered(_BMP, _PRESETS):
        _rendered(image, _PRESETS[:1])


def warm_up_one() -> None:
    """Render one image, in 1 ms of a process that was forked from one that is warm. Raises RuntimeError."""
    _rendered(_BMP, _PRESETS[:1])


def _rendered(original: bytes, presets: tuple[Preset, ...]) -> list[bytes]:
    rendered = render(original, presets, Limits())
    if isinstance(rendered, Refusal):
        raise RuntimeError(f"images do not render: {rendered.code}: {rendered.text}")  # noqa: TRY004 -- no caller's fault
    return [image.body for image in rendered.images]

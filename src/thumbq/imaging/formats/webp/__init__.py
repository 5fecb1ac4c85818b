"""WebP, in and out: libwebp composites the frames of an animation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.imaging.formats.inputformat import DecodingCosts, InputFormat, linear_nanoseconds
from thumbq.imaging.formats.outputformat import (
    MOST_EFFORT,
    EncodingCost,
    OutputFormat,
    Rendition,
    cost_by_effort,
    usual_animation,
)
from thumbq.imaging.formats.webp.alpha import lacks_alpha, with_alpha
from thumbq.imaging.formats.webp.decode import decode
from thumbq.imaging.formats.webp.header import read
from thumbq.imaging.pillowpatches import WebPAnimation

if TYPE_CHECKING:
    from thumbq.core.preset import Preset
    from thumbq.imaging.header import Header
    from thumbq.imaging.playback import Playback

_METHOD: Final = 2
"""Costs half of libwebp's default 4, for 2 to 4 % more bytes."""

_MOST_METHOD: Final = 6
_MOST_PLAYS: Final = (1 << 16) - 1
_LOSSY_COSTS: Final = {
    0: EncodingCost(10, 32, 36, 90, 170, 190, 8),
    4: EncodingCost(22, 32, 46, 150, 270, 400, 8),
    7: EncodingCost(22, 56, 66, 410, 500, 900, 8),
    9: EncodingCost(22, 56, 66, 410, 6700, 900, 8),
}
_LOSSY_FRAME_BYTES: Final = 4
"""Of a pixel of noise, of which the encoded frames are copied twice when they are put together; more only at the best
qualities and without a loss."""

_LOSSLESS_COSTS: Final = {
    0: EncodingCost(38, 38, 64, 600, 600, 1200, 8),
    5: EncodingCost(38, 38, 64, 900, 900, 1800, 8),
    7: EncodingCost(43, 43, 70, 1600, 1600, 3000, 8),
}


def _memory(header: Header, pixels: int, frames: int) -> tuple[float, float]:
    # Two canvases, the bytes that are handed over, and Pillow's pixels: of a still after the canvases are gone.
    if frames > 1:
        return (16 + header.has_alpha) * pixels, 16 * pixels
    return (12 + header.has_alpha) * pixels, 4 * pixels


def _options(preset: Preset) -> dict[str, Any]:
    method = _METHOD if preset.effort is None else round(preset.effort * _MOST_METHOD / MOST_EFFORT)
    return {"quality": preset.quality, "method": method, "lossless": preset.lossless}


def _cost(rendition: Rendition) -> EncodingCost:
    if rendition.lossless or rendition.full_chroma:
        return cost_by_effort(_LOSSLESS_COSTS if rendition.lossless else _LOSSY_COSTS, rendition)
    return cost_by_effort(_LOSSY_COSTS, rendition)._replace(frame_bytes=_LOSSY_FRAME_BYTES)


def _animation_options(playback: Playback) -> dict[str, Any]:
    return usual_animation(playback) | {"loop": min(playback.plays, _MOST_PLAYS)}


def _mend_animation(file: bytes, _playback: Playback, seen_through: bool) -> bytes:  # noqa: FBT001 -- see OutputFormat
    return with_alpha(file) if seen_through and lacks_alpha(file) else file


INPUT: Final = InputFormat(
    read,
    decode,
    DecodingCosts(_memory, linear_nanoseconds(60, 30), file_copies=(3, 3), composites=True),
)
OUTPUT: Final = OutputFormat(
    _options,
    _cost,
    animation_options=_animation_options,
    frame_by_frame=WebPAnimation,
    mend_animation=_mend_animation,
)

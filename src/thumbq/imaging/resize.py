"""Sizes, resampling and standing upright."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from thumbq.core.preset import Preset

Size = tuple[int, int]
Box = tuple[float, float, float, float]

MAX_SIDE: Final = 16_383
"""What a side that the preset leaves open may grow to: the limit of WebP."""

REDUCING_GAP: Final = 2.0
"""Averages whole blocks down to twice the target before the Lanczos step; at least 43 dB against Lanczos alone."""

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_TURNED: Final = 5


def turned(size: Size, orientation: int) -> Size:
    """Swap the sides if this EXIF orientation does: stored size to upright size, and back."""
    return (size[1], size[0]) if orientation >= _FIRST_TURNED else size


def target_size(upright: Size, preset: Preset) -> Size:
    """Return the size of a rendition, at least 1 pixel a side, for an original's upright size."""
    box_width, box_height = preset.width or MAX_SIDE, preset.height or MAX_SIDE
    if preset.fit == "fill":
        return box_width, box_height
    width, height = upright
    scale = min(box_width / width, box_height / height)
    if scale >= 1 and not preset.enlarge:
        return upright
    return _scaled(width, scale, box_width), _scaled(height, scale, box_height)


def resized(pixels: Image.Image, size: Size, box: Box | None) -> Image.Image:
    """Return ``pixels`` (or the part of them in ``box``) in a new size. Alpha weighs the colours."""
    return pixels.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=REDUCING_GAP)


def upright(pixels: Image.Image, orientation: int) -> Image.Image:
    """Turn pixels that are stored in an EXIF orientation."""
    method = _UPRIGHT.get(orientation)
    return pixels if method is None else pixels.transpose(method)


def _scaled(side: int, scale: float, limit: int) -> int:
    return min(limit, max(1, round(side * scale)))

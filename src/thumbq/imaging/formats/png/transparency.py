"""The transparent colour of a PNG (tRNS), which Pillow leaves as it is stored while it scales the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.colour.pixelkinds import COLOR_KEY
from thumbq.imaging.opening import raw_mode

if TYPE_CHECKING:
    from PIL import ImageFile

_SMALL_DEPTHS: Final = {"L;2": (3, 85), "L;4": (15, 17)}
"""Raw modes: the largest value, and the step from one to the next in 8 bits."""


def scale_color_key(image: ImageFile.ImageFile) -> None:
    """Scale the transparent colour of an opened PNG, not loaded yet, with its pixels (2 and 4 bits, 16-bit RGB)."""
    raw, key = raw_mode(image), image.info.get(COLOR_KEY)
    if raw is not None and raw in _SMALL_DEPTHS and isinstance(key, int):
        largest, step = _SMALL_DEPTHS[raw]
        image.info[COLOR_KEY] = (key & largest) * step
    elif raw == "RGB;16B" and isinstance(key, tuple):
        # Pillow keeps the high bytes of the pixels only.
        image.info[COLOR_KEY] = tuple(value >> 8 for value in key)

"""What a BMP would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.bmp.bitmap import bitmap_of, truncated
from thumbq.imaging.formats.bmp.pixels import takes_channels
from thumbq.imaging.header import Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_CHANNEL_BYTES: Final = 9
"""What a pixel takes beside its own while it is taken apart: four channels, each by itself, and one of them again."""


def read(original: Original) -> Header:
    """Read a BMP's header. Raises RenderRefused."""
    bitmap = bitmap_of(original)
    if not bitmap.runs and bitmap.pixels_end > len(original):
        raise truncated()
    width, height = bitmap.size
    palette = bool(bitmap.palette)
    return Header(
        ImageFormat.BMP,
        width,
        height,
        channels=1 if palette else 4 if bitmap.masks[3] else 3,
        bits=min(bitmap.depth, 8),
        palette=palette,
        scratch_bytes=width * height * (_CHANNEL_BYTES if takes_channels(bitmap) else bitmap.runs),
    )

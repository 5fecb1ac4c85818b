"""BMP (Windows bitmaps; BITMAPCOREHEADER to BITMAPV5HEADER)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_FILE: Final = struct.Struct("<10xII")
_CORE_SIZE: Final = 12
_CORE: Final = struct.Struct("<18xHHxxH")
_INFO: Final = struct.Struct("<18xiixxHI")
_UNCOMPRESSED: Final = frozenset({0, 3})
_RUN_LENGTHS: Final = frozenset({1, 2})
_DEPTHS: Final = frozenset({1, 2, 4, 8, 16, 24, 32})
_LARGEST_PALETTE: Final = 8
_WITH_ALPHA: Final = 32
_RUN_COPIES: Final = 3
"""Pillow's decoder of runs is Python: it gathers the pixels in a bytearray that grows, and makes bytes of that."""


def read(original: Original) -> Header:
    """Read a BMP's header; rows from the top down have a negative height."""
    if len(original) < _INFO.size:
        raise _truncated()
    pixels_at, header_size = _FILE.unpack_from(original)
    compression = 0
    if header_size == _CORE_SIZE:
        width, height, depth = _CORE.unpack_from(original)
    else:
        width, height, depth, compression = _INFO.unpack_from(original)
    height = abs(height)
    if width <= 0 or not height or depth not in _DEPTHS:
        raise RenderRefused("corrupt", "the BMP's header is damaged")
    if compression not in _UNCOMPRESSED | _RUN_LENGTHS:
        raise RenderRefused("unsupported-format", "a BMP that holds a JPEG or a PNG is not taken")
    row_bytes = (width * depth + 31) // 32 * 4
    if compression in _UNCOMPRESSED and pixels_at + row_bytes * height > len(original):
        raise _truncated()
    palette = depth <= _LARGEST_PALETTE
    channels = 1 if palette else 4 if depth == _WITH_ALPHA else 3
    return Header(
        ImageFormat.BMP,
        width,
        height,
        channels=channels,
        bits=min(depth, 8),
        palette=palette,
        scratch_bytes=_RUN_COPIES * width * height if compression in _RUN_LENGTHS else 0,
    )


def _truncated() -> RenderRefused:
    return RenderRefused("truncated", "the BMP ends in the middle of its data")

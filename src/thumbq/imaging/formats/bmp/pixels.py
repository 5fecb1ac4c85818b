"""The pixels of a BMP: Pillow's decoder of raw pixels where it knows the masks, else channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.bmp.runs import unpacked
from thumbq.imaging.opening import unsupported_kind

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.bmp.bitmap import Bitmap

_KNOWN: Final = {
    (16, (0x7C00, 0x3E0, 0x1F, 0)): ("RGB", "BGR;15"),
    (16, (0xF800, 0x7E0, 0x1F, 0)): ("RGB", "BGR;16"),
    (24, (0xFF0000, 0xFF00, 0xFF, 0)): ("RGB", "BGR"),
    (32, (0xFF0000, 0xFF00, 0xFF, 0)): ("RGB", "BGRX"),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0)): ("RGB", "XBGR"),
    (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)): ("RGBA", "BGRA"),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)): ("RGBA", "ABGR"),
    (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)): ("RGBA", "RGBA"),
}
"""Pillow's modes of pixels of a depth with such masks, and of these in the file."""

_CHANNELS: Final = {16: "LA", 24: "RGB", 32: "RGBA"}
"""Modes that have a channel for each byte of a pixel."""

_BITS: Final = 8
_LEVELS: Final = range(256)
_NEUTRAL: Final = {1: (0, 255), 8: tuple(_LEVELS)}


def picture_of(original: Original, bitmap: Bitmap) -> Image.Image:
    """Return the pixels. Raises RenderRefused."""
    if bitmap.palette:
        return _from_palette(original, bitmap)
    known = _KNOWN.get((bitmap.depth, bitmap.masks))
    return _by_channels(original, bitmap) if known is None else _raw(original, bitmap, *known)


def takes_channels(bitmap: Bitmap) -> bool:
    """Return whether Pillow does not know the masks."""
    return not bitmap.palette and (bitmap.depth, bitmap.masks) not in _KNOWN


def _raw(original: Original, bitmap: Bitmap, mode: str, stored: str) -> Image.Image:
    with memoryview(original) as data, data[bitmap.pixels :] as pixels:
        return Image.frombytes(mode, bitmap.size, pixels, "raw", stored, bitmap.row_bytes, bitmap.direction)


def _from_palette(original: Original, bitmap: Bitmap) -> Image.Image:
    if bitmap.runs:
        indices = unpacked(original, bitmap)
        picture = Image.frombytes("P", bitmap.size, indices, "raw", "P", 0, bitmap.direction)
    else:
        picture = _raw(original, bitmap, "P", "P" if bitmap.depth == _BITS else f"P;{bitmap.depth}")
    picture.putpalette(bitmap.palette, "BGR")
    greys = [level for level in _NEUTRAL.get(bitmap.depth, ()) for _ in range(3)]
    return picture.convert("L") if bitmap.palette == bytes(greys) else picture


def _by_channels(original: Original, bitmap: Bitmap) -> Image.Image:
    """Take each colour out of the bytes of a pixel, whatever bits it has there."""
    stored = _CHANNELS[bitmap.depth]
    octets = _raw(original, bitmap, stored, stored).split()
    masks = bitmap.masks if bitmap.masks[3] else bitmap.masks[:3]
    return Image.merge("RGBA" if bitmap.masks[3] else "RGB", [_channel(octets, mask) for mask in masks])


def _channel(octets: tuple[Image.Image, ...], mask: int) -> Image.Image:
    """Return the highest eight bits of a channel, which may lie across two bytes; fewer are stretched to eight."""
    if not mask:
        return Image.new("L", octets[0].size)
    low, bits = (mask & -mask).bit_length() - 1, mask.bit_count()
    if mask >> low != (1 << bits) - 1 or mask.bit_length() > _BITS * len(octets):
        raise unsupported_kind(ImageFormat.BMP)
    low, bits = low + max(0, bits - _BITS), min(bits, _BITS)
    first, shift = divmod(low, _BITS)
    most = (1 << bits) - 1
    channel = octets[first].point([(level >> shift) & most for level in _LEVELS])
    if shift + bits > _BITS:
        rest = octets[first + 1].point([(level << (_BITS - shift)) & most for level in _LEVELS])
        channel = ImageChops.add(channel, rest)
    return channel.point([round(255 * min(level, most) / most) for level in _LEVELS])

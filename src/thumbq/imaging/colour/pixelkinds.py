"""Palettes, depths and transparency: every kind of pixel that a decoder gives, as pixels that can be resampled."""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageChops, ImageColor

from thumbq.errors import RenderRefused

_READY: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "LAB", "I", "F"})
_CONVERTED: Final = {"1": "L", "La": "LA", "PA": "RGBA", "YCbCr": "RGB"}

COLOR_KEY: Final = "transparency"
"""The key of a transparent colour in an image's info, by Pillow."""

INVERTED: Final = "white_is_zero"
TWELVE_BITS: Final = "12_bits"
"""Marks in an image's info for 16-bit grey whose 0 is white, or that has 12 bits; a format's ``open`` sets them."""


def expanded(pixels: Image.Image) -> Image.Image:
    """Return loaded pixels that can be resampled: 8 bits a channel, no palette, transparency as a channel.

    The modes are L, LA, RGB, RGBA, CMYK and LAB; and I and F (4 bytes a pixel), whose range nothing states: ``to_srgb``
    finds it. Depends on nothing but each pixel, so that a band of an image gives that band of the whole. At most one
    copy of the pixels is made beside the result, in two bytes a pixel. Raises RenderRefused for a mode that no
    decoder here gives.
    """
    mode, key = pixels.mode, pixels.info.get(COLOR_KEY)
    if mode.startswith("I;16"):
        return _from_16_bits(pixels, key)
    if key is not None and mode in {"1", "L"}:
        return pixels.convert("LA")
    if key is not None and mode == "RGB":
        return pixels.convert("RGBA")
    if mode in _READY:
        return pixels
    if mode == "P":
        return pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    if mode in _CONVERTED:
        return pixels.convert(_CONVERTED[mode])
    raise RenderRefused("unsupported-format", f"pixels of the kind {mode} are not supported")


def flattened(pixels: Image.Image, background: str) -> Image.Image:
    """Lay sRGB pixels with alpha on a background colour (``#rrggbb``); others come back as they are.

    The mixing is of sRGB values, not of light, as browsers and image editors do it.
    """
    if pixels.mode not in {"LA", "RGBA"}:
        return pixels
    grey = pixels.mode == "LA" and len(set(ImageColor.getrgb(background))) == 1
    flat = Image.new("L" if grey else "RGB", pixels.size, background)
    flat.paste(pixels.getchannel("L") if grey else pixels, mask=pixels)
    return flat


def _from_16_bits(pixels: Image.Image, key: object) -> Image.Image:
    """Return the high byte of 16-bit grey, with alpha where there is a transparent value (compared in full)."""
    if pixels.info.get(TWELVE_BITS):
        pixels = pixels.point(_times_16)
    high_first, low_first = ("L;16B", "L;16") if pixels.mode == "I;16B" else ("L;16", "L;16B")
    stored = pixels.tobytes()
    grey = Image.frombytes("L", pixels.size, stored, "raw", high_first)
    if pixels.info.get(INVERTED):
        grey = ImageChops.invert(grey)
    if isinstance(key, int):
        low = Image.frombytes("L", pixels.size, stored, "raw", low_first)
        alpha = ImageChops.lighter(_differs(grey, key >> 8), _differs(low, key & 0xFF))
        grey.putalpha(alpha)
    return grey


def _differs(pixels: Image.Image, value: int) -> Image.Image:
    return pixels.point([0 if level == value else 255 for level in range(256)])


def _times_16(value: float) -> float:
    return value * 16

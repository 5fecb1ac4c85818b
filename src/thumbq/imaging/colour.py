"""Every kind of pixel to 8-bit sRGB: what resampling needs before it, and the profile after it."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Final

from PIL import Image, ImageCms

from thumbq.errors import RenderRefused

_READY: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})
_FROM_16_BITS: Final = 1 / 256
_SRGB: Final = ImageCms.createProfile("sRGB")
_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def expanded(pixels: Image.Image) -> Image.Image:
    """Return pixels that can be resampled: 8 bits a channel, no palette, transparency as a channel."""
    mode = pixels.mode
    if mode.startswith("I"):
        # A transparent 16-bit grey (tRNS) is dropped: Pillow would make the whole picture transparent.
        wide = pixels if mode in {"I", "I;16"} else pixels.convert("I")
        return wide.point(_scale_16_bits).convert("L")
    if mode in {"1", "L", "RGB"} and "transparency" in pixels.info:
        return pixels.convert("RGBA")
    if mode in _READY:
        return pixels
    if mode in {"1", "F"}:
        return pixels.convert("L")
    if mode in {"P", "PA", "RGBX", "RGBa", "YCbCr", "HSV"}:
        return pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    raise RenderRefused("unsupported-format", f"pixels of the kind {mode} are not supported")


def to_srgb(pixels: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Return expanded pixels in sRGB: L, LA, RGB or RGBA. A profile that is broken or does not fit is ignored."""
    colours = pixels.convert(pixels.mode.removesuffix("A")) if pixels.mode in {"LA", "RGBA"} else pixels
    transform = _transform(icc_profile, colours.mode) if icc_profile else None
    if transform is None:
        return pixels.convert("RGB") if pixels.mode == "CMYK" else pixels
    converted = transform.apply(colours)
    if colours is not pixels:
        converted.putalpha(pixels.getchannel("A"))
    return converted


def flattened(pixels: Image.Image, background: str) -> Image.Image:
    """Lay sRGB pixels with alpha on a background colour (``#rrggbb``)."""
    if pixels.mode not in {"LA", "RGBA"}:
        return pixels
    flat = Image.new("RGB", pixels.size, background)
    flat.paste(pixels.convert("RGB"), mask=pixels.getchannel("A"))
    return flat


def _scale_16_bits(value: float) -> float:
    return value * _FROM_16_BITS


@lru_cache(maxsize=16)
def _transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from a profile to sRGB (2 ms; phones send the same few profiles again and again)."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if _SPACES.get(profile.profile.xcolor_space) != mode:
            return None
        return ImageCms.buildTransform(
            profile,
            _SRGB,
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None

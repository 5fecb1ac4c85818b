"""Pixels to files, from the pixels alone: no EXIF, comment, profile or palette of the original gets through."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageFile, ImageFilter

from thumbq.imaging import colour, header
from thumbq.imaging.motion import mended, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging.motion import Motion

_SHARPEN_RADIUS: Final = 0.8
_SPREAD_RADIUS: Final = 2
_OPAQUE: Final = (255, 255)
_SEEN: Final = [0, *[255] * 255]
_MOST_JPEG_BYTES: Final = 6
"""What a pixel of a JPEG can take: noise in full colour at quality 100 has 4."""


_WEBP_METHOD: Final = 2
"""Costs half of libwebp's default 4, for 2 to 4 % more bytes."""

_AVIF_SPEED: Final = 6
_PNG_LEVEL: Final = 6
_MOST_EFFORT: Final = 9


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, its media type, the background that transparent pixels were laid on, if they were, and its frames."""

    body: bytes
    content_type: str
    flattened_on: str | None
    frames: int = 1


def encode(
    frames: Sequence[Image.Image], preset: Preset, *, motion: Motion | None = None, exif: bytes = b""
) -> Encoded:
    """Return 8-bit sRGB pictures as one file in the preset's format; the same pixels give the same bytes.

    More than one picture makes an animation, which has a ``motion``; where all of them are alike it becomes a still.
    ``exif`` is what of it may be told.
    """
    if motion is not None:
        frames, motion = merged(frames, motion)
    if motion is None or len(frames) == 1:
        return _still(frames[0], preset, exif)
    seen_through = any(is_seen_through(frame) for frame in frames)
    image_format = _image_format(preset, clear=True)
    first, *others = _of_one_mode([_ready(frame, preset, image_format, seen_through=seen_through) for frame in frames])
    options = _options(image_format, preset) | motion.options(image_format)
    body = _saved(first, image_format, exif, append_images=others, **options)
    body = mended(body, motion, seen_through=seen_through)
    count = header.read(body).frames
    # libwebp takes frames that hardly differ for one.
    return Encoded(body, f"image/{image_format}", None, count) if count > 1 else _still(frames[0], preset, exif)


def _still(pixels: Image.Image, preset: Preset, exif: bytes) -> Encoded:
    seen_through = is_seen_through(pixels)
    image_format = _image_format(preset, clear=seen_through)
    ready = _ready(pixels, preset, image_format, seen_through=seen_through)
    body = _saved(ready, image_format, exif, **_options(image_format, preset))
    flattened_on = preset.background if image_format == "jpeg" and seen_through else None
    return Encoded(body, f"image/{image_format}", flattened_on)


def _image_format(preset: Preset, *, clear: bool) -> str:
    """Return the format in which ``auto`` keeps transparency and motion, or else the usual one."""
    if preset.format != "auto":
        return preset.format
    if not clear:
        return "jpeg"
    return "png" if preset.lossless else "webp"


def _saved(pixels: Image.Image, image_format: str, exif: bytes, **options: Any) -> bytes:
    try:
        return _written(pixels, image_format, exif, **options)
    except OSError:
        if image_format != "jpeg":
            raise
    # Pillow guesses how long an optimized JPEG gets, and libjpeg writes it in one go: noise is longer.
    usual, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, _MOST_JPEG_BYTES * pixels.width * pixels.height
    try:
        return _written(pixels, image_format, exif, **options)
    finally:
        ImageFile.MAXBLOCK = usual


def _written(pixels: Image.Image, image_format: str, exif: bytes, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels.save(file, image_format, exif=exif, icc_profile=None, **options)
    return file.getvalue()


def is_seen_through(pixels: Image.Image) -> bool:
    """Whether any pixel is transparent, wholly or in part."""
    return pixels.mode in {"LA", "RGBA"} and pixels.getchannel("A").getextrema() != _OPAQUE


def _ready(pixels: Image.Image, preset: Preset, image_format: str, *, seen_through: bool) -> Image.Image:
    """Return pixels with nothing else attached: without an alpha channel that says nothing, flattened, sharpened."""
    if pixels.mode in {"LA", "RGBA"} and not seen_through:
        bare = pixels.convert(pixels.mode.removesuffix("A"))
    elif image_format == "jpeg":
        bare = colour.flattened(pixels, preset.background)
    else:
        bare = pixels
    if preset.sharpen:
        bare = _sharpened(bare, preset.sharpen)
    bare = _cleared(bare)
    if bare.info:
        bare = bare.copy()
        bare.info = {}
    return bare


def _cleared(pixels: Image.Image) -> Image.Image:
    """Take the colours away where nothing is seen of them: what somebody has erased may still be there."""
    if pixels.mode not in {"LA", "RGBA"}:
        return pixels
    alpha = pixels.getchannel("A")
    if not alpha.histogram()[0]:
        return pixels
    cleared = Image.new(pixels.mode, pixels.size)
    cleared.paste(pixels, mask=alpha.point(_SEEN))
    return cleared


def _of_one_mode(frames: list[Image.Image]) -> list[Image.Image]:
    """Return frames that an encoder of animations takes together."""
    modes = {frame.mode for frame in frames}
    if len(modes) == 1:
        return frames
    common = "RGBA" if modes & {"LA", "RGBA"} else "RGB"
    return [frame.convert(common) for frame in frames]


def _sharpened(pixels: Image.Image, percent: int) -> Image.Image:
    mask = ImageFilter.UnsharpMask(_SHARPEN_RADIUS, percent, threshold=0)
    if pixels.mode not in {"LA", "RGBA"}:
        return pixels.filter(mask)
    # What nobody sees would show at the edges: there the colours beside it go on.
    opaque, premultiplied = pixels.mode.removesuffix("A"), pixels.mode.removesuffix("A") + "a"
    alpha = pixels.getchannel("A")
    spread = pixels.convert(premultiplied).filter(ImageFilter.GaussianBlur(_SPREAD_RADIUS)).convert(pixels.mode)
    sharp = Image.composite(pixels.convert(opaque), spread.convert(opaque), alpha).filter(mask)
    sharp.putalpha(alpha)
    return sharp


def _options(image_format: str, preset: Preset) -> dict[str, Any]:
    chroma = ("4:4:4" if preset.full_chroma else "4:2:0") if preset.chroma == "auto" else preset.chroma
    effort = preset.effort
    match image_format:
        case "jpeg":
            return {
                "quality": preset.quality,
                "subsampling": chroma,
                "progressive": preset.progressive,
                # Huffman tables of its own save a tenth of a small file.
                "optimize": True,
                "comment": b"",
            }
        case "webp":
            method = _WEBP_METHOD if effort is None else round(effort * 6 / _MOST_EFFORT)
            return {"quality": preset.quality, "method": method, "lossless": preset.lossless}
        case "avif":
            speed = _AVIF_SPEED if effort is None else _MOST_EFFORT - effort
            return {"quality": preset.quality, "speed": speed, "subsampling": chroma, "max_threads": 1}
        case _:
            return {"compress_level": _PNG_LEVEL if effort is None else effort}

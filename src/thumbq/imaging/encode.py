"""Pixels to files, from the pixels alone: no EXIF, comment, profile or palette of the original gets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageFilter

from thumbq.core.formats import OUTPUTS
from thumbq.imaging import colour
from thumbq.imaging.formats.registry import OUTPUT_FORMATS, read_header
from thumbq.imaging.playback import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging.playback import Playback

_SHARPEN_RADIUS: Final = 0.8
_SPREAD_RADIUS: Final = 2
_OPAQUE: Final = (255, 255)
_SEEN: Final = [0, *[255] * 255]

_ONLY_PIXELS: Final[dict[str, Any]] = {"icc_profile": None}
"""Pillow's options for a file without anything that an image's info may hold."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, its media type, the background under transparent pixels (None without any), and its frames."""

    body: bytes
    content_type: str
    flattened_on: str | None
    frames: int = 1


def encode(
    frames: Sequence[Image.Image], preset: Preset, *, playback: Playback | None = None, exif: bytes = b""
) -> Encoded:
    """Return 8-bit sRGB pictures as one file in the preset's format; the same pixels give the same bytes.

    More than one picture makes an animation, which has a ``playback``; where all of them are alike it becomes a still.
    ``exif`` is the metadata that is kept.
    """
    if playback is not None:
        frames, playback = merged(frames, playback)
    if playback is None or len(frames) == 1:
        return _still(frames[0], preset, exif)
    seen_through = any(is_seen_through(frame) for frame in frames)
    image_format = preset.output_name(keeps_more=True)
    output = OUTPUT_FORMATS[image_format]
    first, *others = _of_one_mode([_ready(frame, preset, image_format, seen_through=seen_through) for frame in frames])
    options = output.options(preset) | output.animation_options(playback)
    body = output.save(first, image_format, _ONLY_PIXELS | options | {"exif": exif, "append_images": others})
    body = output.mend_animation(body, playback, seen_through)
    count = read_header(body).frames
    # libwebp takes frames that hardly differ for one.
    return Encoded(body, f"image/{image_format}", None, count) if count > 1 else _still(frames[0], preset, exif)


def _still(pixels: Image.Image, preset: Preset, exif: bytes) -> Encoded:
    seen_through = is_seen_through(pixels)
    image_format = preset.output_name(keeps_more=seen_through)
    output = OUTPUT_FORMATS[image_format]
    ready = _ready(pixels, preset, image_format, seen_through=seen_through)
    body = output.save(ready, image_format, _ONLY_PIXELS | output.options(preset) | {"exif": exif})
    flattened_on = preset.background if seen_through and not OUTPUTS[image_format].alpha else None
    return Encoded(body, f"image/{image_format}", flattened_on)


def is_seen_through(pixels: Image.Image) -> bool:
    """Return whether any pixel is transparent, wholly or in part."""
    return pixels.mode in {"LA", "RGBA"} and pixels.getchannel("A").getextrema() != _OPAQUE


def _ready(pixels: Image.Image, preset: Preset, image_format: str, *, seen_through: bool) -> Image.Image:
    """Return pixels with nothing else attached: without a needless alpha channel, flattened, sharpened."""
    if pixels.mode in {"LA", "RGBA"} and not seen_through:
        bare = pixels.convert(pixels.mode.removesuffix("A"))
    elif not OUTPUTS[image_format].alpha:
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
    """Remove the colours of fully transparent pixels: erased parts of a picture may still be there."""
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
    # Hidden colours would show at the edges: they are replaced by the colours beside them.
    opaque, premultiplied = pixels.mode.removesuffix("A"), pixels.mode.removesuffix("A") + "a"
    alpha = pixels.getchannel("A")
    spread = pixels.convert(premultiplied).filter(ImageFilter.GaussianBlur(_SPREAD_RADIUS)).convert(pixels.mode)
    sharp = Image.composite(pixels.convert(opaque), spread.convert(opaque), alpha).filter(mask)
    sharp.putalpha(alpha)
    return sharp

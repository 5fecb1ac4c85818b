"""Pixels to files, from the pixels alone: no EXIF, comment, profile or palette of the original gets through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageFilter

from thumbq.core.formats import OUTPUTS
from thumbq.imaging import colour
from thumbq.imaging.formats.registry import OUTPUT_FORMATS, read_header
from thumbq.imaging.playback import Playback, are_equal, longest_frame_ms, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging.formats.outputformat import FrameWriter

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
    return _animation(body, frames[0], preset, playback, seen_through=seen_through, exif=exif)


class MovingEncoder:
    """Encodes an animation frame by frame, where its format can; else its frames are kept until the end."""

    def __init__(self, preset: Preset, *, plays: int, frames: int, exif: bytes) -> None:
        self._preset = preset
        self._plays = plays
        self._exif = exif
        self._longest_ms = longest_frame_ms(frames)
        self._image_format = preset.output_name(keeps_more=True)
        self._start = OUTPUT_FORMATS[self._image_format].frame_by_frame
        self._writer: FrameWriter | None = None
        self._kept: list[tuple[Image.Image, int]] = []
        self._first: Image.Image | None = None
        self._seen_through = False

    def add(self, pixels: Image.Image, duration_ms: int) -> None:
        """Take the next frame; one that is equal to that before it prolongs it (see ``playback.merged``)."""
        self._first = self._first or pixels
        if self._start is None:
            self._kept.append((pixels, duration_ms))
            return
        shown_ms = min(duration_ms, self._longest_ms)
        if self._kept:
            last, last_ms = self._kept.pop()
            if are_equal(pixels, last) and last_ms + shown_ms <= self._longest_ms:
                pixels, shown_ms = last, last_ms + shown_ms
            else:
                self._write(last, last_ms)
        self._kept.append((pixels, shown_ms))

    def finish(self) -> Encoded:
        """Return the file: a still when all frames are alike."""
        assert self._first is not None
        playback = Playback(tuple(duration_ms for _, duration_ms in self._kept), self._plays)
        frames = [pixels for pixels, _ in self._kept]
        if self._start is None:
            return encode(frames, self._preset, playback=playback, exif=self._exif)
        if self._writer is None:
            return _still(self._first, self._preset, self._exif)
        self._write(frames[0], playback.durations_ms[0])
        body = self._writer.finish()
        return _animation(body, self._first, self._preset, playback, seen_through=self._seen_through, exif=self._exif)

    def _write(self, pixels: Image.Image, duration_ms: int) -> None:
        assert self._start is not None
        seen_through = is_seen_through(pixels)
        self._seen_through |= seen_through
        ready = _ready(pixels, self._preset, self._image_format, seen_through=seen_through)
        if self._writer is None:
            output = OUTPUT_FORMATS[self._image_format]
            options = output.options(self._preset) | output.animation_options(Playback((), self._plays))
            self._writer = self._start(ready.size, _ONLY_PIXELS | options | {"exif": self._exif})
        self._writer.add(ready, duration_ms)


def _animation(
    body: bytes, first: Image.Image, preset: Preset, playback: Playback, *, seen_through: bool, exif: bytes
) -> Encoded:
    image_format = preset.output_name(keeps_more=True)
    body = OUTPUT_FORMATS[image_format].mend_animation(body, playback, seen_through)
    count = read_header(body).frames
    # libwebp takes frames that hardly differ for one.
    return Encoded(body, f"image/{image_format}", None, count) if count > 1 else _still(first, preset, exif)


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

"""Resampling: every size of one picture from one decode, the largest first, each from an earlier one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import le
from typing import TYPE_CHECKING, Final

from PIL import Image

from thumbq.imaging import colour
from thumbq.imaging.geometry import Box, Size, stored_box, turned
from thumbq.imaging.resampling import lanczos

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thumbq.imaging.geometry import Target
    from thumbq.imaging.opening import Piece

_BAND_PIXELS: Final = 1 << 20
_PLAIN: Final = frozenset({"L", "RGB", "CMYK"})
_PREMULTIPLIED: Final = {"LA": "La", "RGBA": "RGBa"}
_STRAIGHT: Final = {"La": "LA", "RGBa": "RGBA"}

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ResamplingQuality:
    """How exactly pixels are resampled; the default is right for letters, the sharpest edges there are.

    Whole blocks are averaged down to no less than ``reducing_gap`` times the target before the Lanczos step, and a
    rendition is made from an earlier one that has at least ``mip_step`` times its size.
    """

    reducing_gap: float = 4.0
    mip_step: float = 4.0


@dataclass(slots=True)
class Picture:
    """Pixels as they are stored, perhaps shrunk: ``scale`` is pixels across and down for each of the original's."""

    pixels: Image.Image
    scale: tuple[float, float]
    quality: ResamplingQuality = ResamplingQuality()

    def part(self, stored: Box) -> Box:
        """Return where a box of the original lies in these pixels."""
        across, down = self.scale
        width, height = self.pixels.size
        left, top, right, bottom = stored
        return left * across, top * down, min(right * across, width), min(bottom * down, height)

    def serves(self, stored: Box, size: Size) -> bool:
        """Return whether a box of the original can be resampled from here without a loss that shows."""
        left, top, right, bottom = self.part(stored)
        step = self.quality.mip_step
        return right - left >= step * size[0] and bottom - top >= step * size[1]


class MipLevels:
    """Makes the renditions of one picture. Ask for the largest first: a smaller one is made from a larger one."""

    def __init__(self, picture: Picture, *, upright_size: Size, orientation: int) -> None:
        self._upright_size = upright_size
        self._orientation = orientation
        self._levels = [picture]
        width, height = turned(upright_size, orientation)
        self._whole: Box = (0.0, 0.0, float(width), float(height))

    def resized(self, target: Target) -> Image.Image:
        """Return the target's pixels, upright, with straight alpha."""
        stored = stored_box(target.crop, self._upright_size, self._orientation)
        size = turned(target.size, self._orientation)
        level = next((level for level in reversed(self._levels) if level.serves(stored, size)), self._levels[0])
        box = level.part(stored)
        pixels = level.pixels
        if size != pixels.size or box != (0, 0, *pixels.size):
            pixels = level.pixels = _premultiplied(pixels)
            pixels = lanczos(pixels, size, box, reducing_gap=level.quality.reducing_gap)
        if stored == self._whole and all(map(le, size, self._levels[0].pixels.size)):
            scale = size[0] / self._whole[2], size[1] / self._whole[3]
            self._levels.append(Picture(pixels, scale, level.quality))
        return upright(straight(pixels), self._orientation)


def reduced(picture: Picture, gaps: Sequence[tuple[float, float]]) -> Picture:
    """Return a loaded image's pixels ready for resampling: no palette, and premultiplied alpha if it was reduced.

    ``gaps`` say how many of its pixels go into one of each target, across and down. Pixels beyond the reducing gap of
    all targets are averaged away here, band by band, so that no second copy of a large picture is made.
    """
    pixels = picture.pixels
    across, down = _reduction(gaps, picture.quality)
    scale = picture.scale[0] / across, picture.scale[1] / down
    if across == down == 1:
        return replace(picture, pixels=colour.expanded(pixels))
    if pixels.mode in _PLAIN and "transparency" not in pixels.info:
        return replace(picture, pixels=pixels.reduce((across, down)), scale=scale)
    width, height = pixels.size
    rows = max(1, _BAND_PIXELS // width // down) * down
    result: Image.Image | None = None
    for top in range(0, height, rows):
        band = _premultiplied(colour.expanded(pixels.crop((0, top, width, min(top + rows, height)))))
        band = band.reduce((across, down))
        if result is None:
            result = Image.new(band.mode, (-(-width // across), -(-height // down)))
        result.paste(band, (0, top // down))
    assert result is not None
    return replace(picture, pixels=result, scale=scale)


def assembled(pieces: Iterable[Piece], size: Size, gaps: Sequence[tuple[float, float]]) -> Picture:
    """Put the pieces of a plain picture together; what ``reduced`` averages away is never whole.

    Both ways the same number of pixels becomes one, so that rows of pixels do not have to wait for many others.
    """
    quality = ResamplingQuality()
    by = min(_reduction(gaps, quality))
    result: Image.Image | None = None
    band: Image.Image | None = None
    held = top = 0
    for pixels, (left, at) in pieces:
        if result is None or band is None:
            result = Image.new(pixels.mode, (-(-size[0] // by), -(-size[1] // by)))
            band = result if by == 1 else Image.new(pixels.mode, (size[0], pixels.height + by))
        if by == 1:
            result.paste(pixels, (left, at))
        else:
            band.paste(pixels, (left, held))
        if by > 1 and left + pixels.width == size[0]:
            held += pixels.height
            rows = held if top + held == size[1] else held // by * by
            if rows:
                result.paste(band.reduce(by, (0, 0, size[0], rows)), (0, top // by))
                band.paste(band.crop((0, rows, size[0], held)), (0, 0))
            held, top = held - rows, top + rows
        del pixels  # before the next is decoded
    assert result is not None
    return Picture(result, (1 / by, 1 / by), quality)


def _reduction(gaps: Sequence[tuple[float, float]], quality: ResamplingQuality) -> tuple[int, int]:
    """Return how many pixels are averaged to one, across and down."""
    across, down = (max(1, int(min(gap[axis] for gap in gaps) / quality.reducing_gap)) for axis in (0, 1))
    return across, down


def straight(pixels: Image.Image) -> Image.Image:
    """Return pixels whose alpha, if there is one, is not multiplied into the colours."""
    mode = _STRAIGHT.get(pixels.mode)
    return pixels if mode is None else pixels.convert(mode)


def upright(pixels: Image.Image, orientation: int) -> Image.Image:
    """Turn pixels that are stored in an EXIF orientation."""
    method = _UPRIGHT.get(orientation)
    return pixels if method is None else pixels.transpose(method)


def _premultiplied(pixels: Image.Image) -> Image.Image:
    mode = _PREMULTIPLIED.get(pixels.mode)
    return pixels if mode is None else pixels.convert(mode)

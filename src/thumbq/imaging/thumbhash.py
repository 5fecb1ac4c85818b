"""ThumbHash: a blurred picture in about 25 bytes, for pages to show until the rendition is there.

The format, and the way to it, are those of https://evanw.github.io/thumbhash/ (Evan Wallace, 2023). Three things
differ, since the original takes 30 ms in Python: the cosines are computed once, rows and columns have a pass each, and
the picture is shrunk to 16 pixels and not to 100. A hash holds at most 7 half-waves: 16 samples suffice for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, floor, pi
from operator import add, mul, sub
from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    Plane = Sequence[float]

_SIDE: Final = 16
_SHORT_SIDE: Final = 8
"""At least; also a narrow picture has three half-waves across."""
_REDUCING_GAP: Final = 2.0
_OPAQUE: Final = 255
_WAVES_OPAQUE: Final = 7
_WAVES_WITH_ALPHA: Final = 5
_WAVES_OF_COLOUR: Final = 3
_FEWEST_WAVES: Final = 3
_NOISE: Final = 1e-9
"""More than rounding makes of a plane without any wave, and far less than can be stored."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """A plane as its mean and its waves, of which the largest measures ``scale``."""

    mean: float
    scale: float
    waves: Sequence[float]

    def nibbles(self) -> list[int]:
        if self.scale < _NOISE:
            return [0] * len(self.waves)
        return [_rounded(7.5 + 7.5 * wave / self.scale) for wave in self.waves]


def thumbhash(pixels: Image.Image) -> bytes:
    """Return the ThumbHash, 17 to 25 bytes, of an upright sRGB picture in mode RGB or RGBA."""
    width, height = pixels.size
    longer = max(width, height)
    size = _small(width, longer), _small(height, longer)
    premultiplied = pixels.convert("RGBa") if pixels.mode == "RGBA" else pixels
    # A filter without negative lobes: no sum can leave the range that its bits have.
    small = premultiplied.resize(size, Image.Resampling.HAMMING, reducing_gap=_REDUCING_GAP)
    (luminance, yellow_blue, red_green), alpha = _planes(small)
    most = _WAVES_WITH_ALPHA if alpha else _WAVES_OPAQUE
    across, down = (max(1, _rounded(most * side / longer)) for side in (width, height))
    channels = [
        _channel(luminance, size, max(_FEWEST_WAVES, across), max(_FEWEST_WAVES, down), unit=3 * _OPAQUE),
        _channel(yellow_blue, size, _WAVES_OF_COLOUR, _WAVES_OF_COLOUR, unit=2 * _OPAQUE),
        _channel(red_green, size, _WAVES_OF_COLOUR, _WAVES_OF_COLOUR, unit=_OPAQUE),
    ]
    if alpha:
        channels.append(_channel(alpha, size, _WAVES_WITH_ALPHA, _WAVES_WITH_ALPHA, unit=_OPAQUE))
    return _packed(channels, shorter=min(across, down), landscape=width > height)


def _small(side: int, longer: int) -> int:
    return min(side, max(_SHORT_SIDE, round(_SIDE * side / longer)))


def _planes(small: Image.Image) -> tuple[list[Plane], bytes | None]:
    """Return red + green + blue, red + green - 2 blue and red - green; and alpha, None when all is opaque.

    Transparent pixels get the mean colour of the others. All of it is linear, so premultiplied colours suffice.
    """
    red, green, blue, *rest = (band.tobytes() for band in small.split())
    both = list(map(add, red, green))
    colours: list[Plane] = [
        list(map(add, both, blue)),
        [pair - 2 * value for pair, value in zip(both, blue, strict=True)],
        list(map(sub, red, green)),
    ]
    if not rest or min(rest[0]) == _OPAQUE:
        return colours, None
    missing, visible = [_OPAQUE - value for value in rest[0]], sum(rest[0])
    return [_over_its_mean(plane, missing, visible) for plane in colours], rest[0]


def _over_its_mean(plane: Plane, missing: Sequence[int], visible: int) -> Plane:
    mean = sum(plane) / visible if visible else 0
    return [value + mean * gap for value, gap in zip(plane, missing, strict=True)]


def _channel(plane: Plane, size: tuple[int, int], across: int, down: int, *, unit: int) -> _Channel:
    """Transform a plane (DCT-II) and keep the longest of its ``across`` by ``down`` waves: the triangle."""
    width, height = size
    rows = [plane[start : start + width] for start in range(0, width * height, width)]
    columns = [[sum(map(mul, row, wave)) for row in rows] for wave in _cosines(width)[:across]]
    waves = _cosines(height)
    area = width * height * unit
    mean, *others = (
        sum(map(mul, columns[x], waves[y])) / area
        for y in range(down)
        for x in range(across)
        if x * down < across * (down - y)
    )
    return _Channel(mean, max(map(abs, others)), others)


@lru_cache(maxsize=_SIDE)
def _cosines(length: int) -> list[list[float]]:
    return [[cos(pi / length * wave * (at + 0.5)) for at in range(length)] for wave in range(_WAVES_OPAQUE)]


def _packed(channels: Sequence[_Channel], *, shorter: int, landscape: bool) -> bytes:
    luminance, yellow_blue, red_green, *alpha = channels
    header = _bits(
        (_rounded(63 * luminance.mean), 6),
        (_rounded(31.5 + 31.5 * yellow_blue.mean), 6),
        (_rounded(31.5 + 31.5 * red_green.mean), 6),
        (_rounded(31 * luminance.scale), 5),
        (len(alpha), 1),
        (shorter, 3),
        (_rounded(63 * yellow_blue.scale), 6),
        (_rounded(63 * red_green.scale), 6),
        (landscape, 1),
        *((_rounded(15 * value), 4) for channel in alpha for value in (channel.mean, channel.scale)),
    )
    return header + _bits(*((nibble, 4) for channel in channels for nibble in channel.nibbles()))


def _bits(*fields: tuple[int, int]) -> bytes:
    """Lay values of so many bits one after the other, the lowest bit first."""
    packed = at = 0
    for value, width in fields:
        packed |= value << at
        at += width
    return packed.to_bytes((at + 7) // 8, "little")


def _rounded(value: float) -> int:
    """Round halves up, as JavaScript does."""
    return floor(value + 0.5)

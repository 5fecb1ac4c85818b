"""A picture's dominant colour and ThumbHash, for a page to show before it has the picture."""

from __future__ import annotations

import base64
import sys
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final

from thumbq.imaging.thumbhash import thumbhash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    Cube = tuple[int, int, int]

_SIDE: Final = 48
_STEP: Final = 16
_CUBE: Final = 2 * _STEP
_BASE: Final = 17
_TO_STEPS: Final = bytes(level // _STEP for level in range(256))
_PLACES: Final = [((cell >> 8) * _BASE + (cell >> 4) % _STEP) * _BASE + cell % _STEP for cell in range(_STEP**3)]
_WITHIN: Final = b"\xff" * _CUBE
_SEEN: Final = bytes(255 * (level >= _STEP) for level in range(256))
"""The alpha of pixels that can be seen."""


@dataclass(frozen=True, slots=True)
class Summary:
    """``dominant_color`` as ``#rrggbb``, None for a picture with nothing to see; ``thumbhash`` in Base64."""

    dominant_color: str | None
    thumbhash: str


def summarize(pixels: Image.Image) -> Summary:
    """Summarize an upright sRGB picture in mode L, LA, RGB or RGBA.

    A small one suffices, and is cheap: 0.4 to 0.6 ms for 100 by 75 pixels.
    """
    if pixels.mode in {"L", "LA"}:
        pixels = pixels.convert("RGB" if pixels.mode == "L" else "RGBA")
    return Summary(dominant_color(pixels), base64.b64encode(thumbhash(pixels)).decode())


def dominant_color(pixels: Image.Image) -> str | None:
    """Return the dominant colour of an sRGB picture in mode RGB or RGBA, None when there is nothing to see.

    It is the mean of the pixels in the fullest of the cubes of 32 levels a side that stand in the RGB space at every
    16 levels. So it is a colour that is there, as the mean of the whole picture often is not, and the shades of a
    gradient count together. Pixels count by their alpha; of equally full cubes the lightest is taken.
    """
    # At most 48 pixels a side, each the mean of a block: what is finer is seen as its mean, too.
    small = pixels.reduce(-(-max(pixels.size) // _SIDE)).tobytes()
    bands = len(pixels.getbands())
    planes = [small[band::bands] for band in range(bands)]
    cube = _fullest_cube(planes)
    return None if cube is None else _mean_within(planes, cube)


def _fullest_cube(planes: Sequence[bytes]) -> Cube | None:
    """Return the fullest cube, by its darkest corner, of red, green, blue and perhaps alpha."""
    # Cells of one step a side, then axis by axis the cubes, two cells a side. A place is a number to the base of 17: a
    # cube that stands one step outside has a place of its own, and is never the lightest of the fullest.
    weights: dict[int, int] = {}
    for cell, weight in _cells(planes):
        at = _PLACES[cell]
        weights[at] = weights.get(at, 0) + weight
    for step in (1, _BASE, _BASE**2):
        sums = weights.copy()
        for at, weight in weights.items():
            sums[at - step] = sums.get(at - step, 0) + weight
        weights = sums
    weight, at = max(zip(weights.values(), weights, strict=True))
    return (at // _BASE**2 * _STEP, at // _BASE % _BASE * _STEP, at % _BASE * _STEP) if weight else None


def _cells(planes: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the number of each cell (red, green and blue by 16), and what its pixels weigh, perhaps in parts."""
    red, green, blue, *alpha = (plane.translate(_TO_STEPS) for plane in planes)
    pairs = bytearray(2 * len(red))
    first, second = (slice(0, None, 2), slice(1, None, 2))[:: 1 if sys.byteorder == "little" else -1]
    pairs[first] = (_number(green) << 4 | _number(blue)).to_bytes(len(red), "big")
    pairs[second] = red
    cells = memoryview(pairs).cast("H")
    if not alpha:
        yield from Counter(cells).items()
        return
    for (cell, visible), count in Counter(zip(cells, alpha[0], strict=True)).items():
        yield cell, visible * count


def _mean_within(planes: Sequence[bytes], cube: Cube) -> str:
    """Return the mean colour of the pixels in a cube, without those that can hardly be seen."""
    tables = [(bytes(low) + _WITHIN + bytes(256))[:256] for low in cube]
    if len(planes) > len(tables):
        tables.append(_SEEN)
    inside = reduce(and_, map(_number, map(bytes.translate, planes, tables)))
    length = len(planes[0])
    count = inside.to_bytes(length, "big").count(255)
    means = [round(sum((inside & _number(plane)).to_bytes(length, "big")) / count) for plane in planes[:3]]
    return "#" + "".join(f"{mean:02x}" for mean in means)


def _number(plane: bytes) -> int:
    """Return a plane as one number, whose pixels are masked or put together all at once."""
    return int.from_bytes(plane, "big")

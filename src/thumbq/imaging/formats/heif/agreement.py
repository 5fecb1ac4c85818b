"""Whether the thumbnail in a HEIC shows its picture: some tiles are decoded, and compared with their places in it.

Of each row of tiles it is one (of each column, where these are fewer), and neighbours are half a row apart (0, 4, 1, 5,
2, 6 of eight); where the first one lies, the file's hash chooses. So what differs in three rows of tiles by half of
their length is always seen; a smaller difference, or one of a few levels, may slip through.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageStat

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.isomedia.piecefile import piece_file
from thumbq.imaging.opening import open_with_pillow
from thumbq.imaging.resize import upright

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.tiles import Grid

_LEAST_TILES: Final = 6
"""In fewer rows or columns too little would be compared."""

_SIDE: Final = 16
_BLOCK: Final = 4
_ROUGHLY: Final = 12.0
"""The largest difference (root mean square) of 16 by 16 pixels of a tile: phones have up to 8, other pictures 50."""

_BLOCK_LEVELS: Final = 12
"""The same of means of 4 by 4 of them."""

_MEAN_LEVELS: Final = 3.0
"""The same of a tile's mean colour: phones have up to 2."""

_BACK: Final = {6: 8, 8: 6}
"""The orientations that undo others; else each undoes itself."""


def can_be_told(whole: Grid) -> bool:
    """Return whether a picture has tiles enough to be compared."""
    return min(_shape(whole)) >= _LEAST_TILES


def agrees(original: Original, whole: Grid, thumbnail: Image.Image) -> bool:
    """Return whether a thumbnail, upright and loaded, shows the picture of a grid. A decoder may raise anything."""
    small = upright(thumbnail, _BACK.get(whole.orientation, whole.orientation))
    seed = int.from_bytes(hashlib.sha256(original).digest(), "big")
    return all(_is_alike(original, whole, small, *place) for place in places(*_shape(whole), seed))


def places(columns: int, rows: int, seed: int) -> list[tuple[int, int]]:
    """Return the column and the row of each tile that is compared."""
    longer = max(columns, rows)
    spread = [at // 2 + at % 2 * -(-longer // 2) for at in range(longer)]
    found = [(spread[(at + seed) % longer], at) for at in range(min(columns, rows))]
    return found if columns == longer else [place[::-1] for place in found]


def _shape(whole: Grid) -> tuple[int, int]:
    return whole.columns, len(whole.tiles) // whole.columns


def _is_alike(original: Original, whole: Grid, small: Image.Image, column: int, row: int) -> bool:
    (width, height), (left, top) = whole.size, (column * whole.tile[0], row * whole.tile[1])
    right, bottom = min(width, left + whole.tile[0]), min(height, top + whole.tile[1])
    file = io.BytesIO(piece_file(original, whole.items, [whole.tiles[row * whole.columns + column]], whole.tile))
    tile = open_with_pillow(file, ImageFormat.HEIF)
    tile.load()
    if tile.size != whole.tile or tile.mode != "RGB" or small.mode != "RGB":
        return False
    size, box = (_SIDE, _SIDE), Image.Resampling.BOX
    across, down = small.width / width, small.height / height
    place = left * across, top * down, right * across, bottom * down
    there = small.resize(size, box, box=place)
    here = tile.resize(size, box, box=(0, 0, right - left, bottom - top))
    blocks = ImageChops.difference(here.reduce(_BLOCK), there.reduce(_BLOCK)).getextrema()
    means = zip(ImageStat.Stat(here).mean, ImageStat.Stat(there).mean, strict=True)
    return (
        max(ImageStat.Stat(ImageChops.difference(here, there)).rms) <= _ROUGHLY
        and all(high <= _BLOCK_LEVELS for _, high in blocks)  # type: ignore[misc]  # of RGB they are pairs
        and all(abs(one - other) <= _MEAN_LEVELS for one, other in means)
    )

"""A grid of tiles (ISO/IEC 23008-12, 6.6.2.3) row by row, so that a picture is never whole in memory.

All phones and cameras write grids. pi-heif has no interface for a part of one, so that each row of tiles becomes a file
of its own: a grid of one row, with the properties of the whole.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.isomedia import items
from thumbq.imaging.formats.isomedia.boxes import Box, boxes, damaged, number
from thumbq.imaging.formats.isomedia.extents import Extents
from thumbq.imaging.opening import open_with_pillow
from thumbq.imaging.pillowpatches import release_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.items import Items
    from thumbq.imaging.geometry import Size

_GRID: Final = b"grid"
_CODED: Final = b"hvc1"
_AUXILIARY: Final = b"auxl"
_ROWS_AT: Final = 2
_HEAD: Final = 4
"""A grid's version, flags, and its numbers of rows and columns less 1."""

_SIZE: Final = b"ispe"
_TURNS: Final = frozenset({b"irot", b"imir"})
_PLACES: Final = frozenset({b"irot", b"imir", b"clap"})
_MOST_PROPERTIES: Final = 100
_LONG_ASSOCIATIONS: Final = 1
_ORIENTATIONS: Final = (1, 8, 3, 6), (2, 5, 4, 7)
"""EXIF orientations of a picture to be turned anticlockwise 0 to 3 times, without and with a mirroring before it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture of tiles of one size: ``items`` are its file's, ``tiles`` the numbers of its own, row by row.

    ``orientation`` is the EXIF value of its turns.
    """

    items: Items
    tiles: Sequence[int]
    columns: int
    tile: Size
    size: Size
    orientation: int

    @property
    def row_pixels(self) -> int:
        """The pixels of a row of tiles."""
        return self.columns * self.tile[0] * self.tile[1]


def grid(original: Original) -> Grid | None:
    """Return the grid that a HEIC's image is; None if it is none, or of an unusual kind. Raises RenderRefused."""
    meta = next((box for box in boxes(original, 0, len(original)) if box.kind == b"meta"), None)
    if meta is None:
        return None
    found = items.read(original, meta)
    tiles = found.references.get((b"dimg", found.primary), [])
    image = found.properties.get(found.primary, [])
    head = Extents(original, found.places.get(found.primary, ())).read(0, _HEAD)
    if found.kinds.get(found.primary) != _GRID or len(head) < _HEAD or not tiles:
        return None
    rows, columns = head[_ROWS_AT] + 1, head[_ROWS_AT + 1] + 1
    tile, size = items.size(original, found.properties.get(tiles[0], [])), items.size(original, image)
    usual = (
        len(tiles) == rows * columns
        and all(_is_plain(original, found, each, tile) for each in set(tiles))
        and len(image) <= _MOST_PROPERTIES
        and all(box.kind != b"clap" for box in image)
        and all(kind != _AUXILIARY or found.primary not in targets for (kind, _), targets in found.references.items())
        and 0 < size[0] <= columns * tile[0]
        and (rows - 1) * tile[1] < size[1] <= rows * tile[1]
    )
    return Grid(found, tiles, columns, tile, size, _orientation(original, image)) if usual else None


def tile_rows(original: Original, whole: Grid) -> Iterator[Image.Image]:
    """Decode the rows of a grid, from the top of the stored picture to its end. A decoder may raise anything."""
    width, height = whole.size
    for top in range(0, height, whole.tile[1]):
        size = width, min(whole.tile[1], height - top)
        image = open_with_pillow(io.BytesIO(_file(original, whole, top // whole.tile[1], size)), ImageFormat.HEIF)
        image.load()
        release_decoder(image)
        if image.size != size:
            raise damaged()
        yield image
        del image  # before the next is decoded


def _is_plain(original: Original, found: Items, tile: int, size: Size) -> bool:
    properties = found.properties.get(tile, [])
    return (
        found.kinds.get(tile) == _CODED
        and items.size(original, properties) == size
        and len(properties) <= _MOST_PROPERTIES
        and all(box.kind not in _PLACES for box in properties)
    )


def _orientation(original: Original, properties: Sequence[Box]) -> int:
    """Return the EXIF orientation that does what the turns do, in their order (6.5.10, irot; 6.5.12, imir)."""
    mirrored, turns = 0, 0
    for box in properties:
        if box.kind == b"irot":
            turns += number(original, box.at, 1)
        elif box.kind == b"imir":
            # Across, or down: that is across, and then half a turn.
            mirrored, turns = 1 - mirrored, -turns + (0 if number(original, box.at, 1) & 1 else 2)
    return _ORIENTATIONS[mirrored][turns % 4]


def _file(original: Original, whole: Grid, row: int, size: Size) -> bytes:
    """Write a HEIC of a row of tiles: item 1 is the grid, the others are its tiles."""
    found = whole.items
    tiles = whole.tiles[row * whole.columns : (row + 1) * whole.columns]
    image = found.properties.get(found.primary, [])
    kept = [_raw(original, box) for box in image if box.kind != _SIZE and box.kind not in _TURNS]
    properties = [
        [_full_box(_SIZE, struct.pack(">II", *size)), *kept],
        *([_raw(original, box) for box in found.properties[tile]] for tile in tiles),
    ]
    data = [struct.pack(">BBBBII", 0, 1, 0, whole.columns - 1, *size)]
    for tile in tiles:
        stream = Extents(original, found.places.get(tile, ()))
        data.append(stream.read(0, stream.size))
    numbers = range(1, len(data) + 1)
    kinds = [
        _full_box(b"infe", struct.pack(">HH", item, 0), _GRID if item == 1 else _CODED, b"\0", version=2)
        for item in numbers
    ]
    derived = _box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *numbers[1:]))
    fixed = (
        _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", struct.pack(">H", 1)),
        _full_box(b"iinf", struct.pack(">H", len(kinds)), *kinds),
        _full_box(b"iref", derived),
        _properties(properties),
    )
    start = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    pixels_at = len(start) + len(_full_box(b"meta", *fixed, _places(data, 0))) + len(_box(b"mdat"))
    return start + _full_box(b"meta", *fixed, _places(data, pixels_at)) + _box(b"mdat", *data)


def _properties(of_items: Sequence[Sequence[bytes]]) -> bytes:
    numbers = {each: number for number, each in enumerate(dict.fromkeys(each for of in of_items for each in of), 1)}
    associations = [
        struct.pack(f">HB{len(of)}H", item, len(of), *(numbers[each] for each in of))
        for item, of in enumerate(of_items, 1)
    ]
    table = _full_box(b"ipma", struct.pack(">I", len(of_items)), *associations, flags=_LONG_ASSOCIATIONS)
    return _box(b"iprp", _box(b"ipco", *numbers), table)


def _places(data: Sequence[bytes], at: int) -> bytes:
    entries = []
    for item, each in enumerate(data, 1):
        entries.append(struct.pack(">HHHII", item, 0, 1, at, len(each)))
        at += len(each)
    return _full_box(b"iloc", b"\x44\0", struct.pack(">H", len(data)), *entries)


def _raw(original: Original, box: Box) -> bytes:
    return _box(box.kind, original[box.at : box.end])


def _box(kind: bytes, *bodies: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, bodies)), kind) + b"".join(bodies)


def _full_box(kind: bytes, *bodies: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, bytes((version, 0, 0, flags)), *bodies)

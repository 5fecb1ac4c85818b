"""A grid of tiles (ISO/IEC 23008-12, 6.6.2.3) piece by piece, so that a picture is never whole in its decoder.

All phones and cameras write their HEICs as grids, and so do encoders of large AVIFs. No decoder has an interface for a
part of one that Pillow and pi-heif know, so that each piece of a row of tiles becomes a file of its own.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.formats.isomedia import av1, items
from thumbq.imaging.formats.isomedia.boxes import boxes, damaged, number
from thumbq.imaging.formats.isomedia.extents import Extents
from thumbq.imaging.formats.isomedia.piecefile import TURNS, piece_file
from thumbq.imaging.opening import open_with_pillow
from thumbq.imaging.pillowpatches import crop_in_place, release_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.formats.isomedia.items import Items
    from thumbq.imaging.geometry import Size
    from thumbq.imaging.header import Header
    from thumbq.imaging.opening import Piece

_GRID: Final = b"grid"
_CODED: Final = {ImageFormat.HEIF: b"hvc1", ImageFormat.AVIF: b"av01"}
_AUXILIARY: Final = b"auxl"
_ROWS_AT: Final = 2
_HEAD: Final = 4
"""A grid's version, flags, and its numbers of rows and columns less 1."""

_PLACES: Final = TURNS | {b"clap"}
_UNUSUAL: Final = _PLACES | {b"a1op", b"a1lx", b"lsel"}
"""What no tile of usual grids has: places, and layers of AV1."""

_MOST_PROPERTIES: Final = 100
_PIECE_PIXELS: Final = 4 << 20
"""Small tiles are decoded together up to here: a file for each of the 192 of a phone costs more than it saves."""

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

    @property
    def piece_tiles(self) -> int:
        """The tiles that are decoded together."""
        return max(1, min(self.columns, _PIECE_PIXELS // (self.tile[0] * self.tile[1])))

    @property
    def piece_pixels(self) -> int:
        """The pixels that are decoded together."""
        return self.piece_tiles * self.tile[0] * self.tile[1]


def with_tiles(header: Header, original: Original) -> Header:
    """Return the header of a still with the sizes of its tiles, if it is a grid."""
    tiles = grid(original, header.format)
    return header if tiles is None else replace(header, band_pixels=tiles.row_pixels, piece_pixels=tiles.piece_pixels)


def grid(original: Original, image_format: ImageFormat) -> Grid | None:
    """Return the grid that a still is; None if it is none, or of an unusual kind. Raises RenderRefused."""
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
        and all(_is_plain(original, found, each, tile, _CODED[image_format]) for each in set(tiles))
        and _have_equal_properties(original, found, tiles)
        and len(image) <= _MOST_PROPERTIES
        and all(box.kind != b"clap" for box in image)
        and all(kind != _AUXILIARY or found.primary not in targets for (kind, _), targets in found.references.items())
        and (columns - 1) * tile[0] < size[0] <= columns * tile[0]
        and (rows - 1) * tile[1] < size[1] <= rows * tile[1]
        and (image_format is not ImageFormat.AVIF or _are_coded_alike(original, found, tiles, tile))
    )
    return Grid(found, tiles, columns, tile, size, _orientation(original, image)) if usual else None


def pieces(original: Original, whole: Grid, image_format: ImageFormat) -> Iterator[Piece]:
    """Decode a grid as it is stored, row by row and each from the left. A decoder may raise anything."""
    (width, height), (tile_width, tile_height) = whole.size, whole.tile
    for index in range(0, len(whole.tiles), whole.columns):
        top = index // whole.columns * tile_height
        for column in range(0, whole.columns, whole.piece_tiles):
            tiles = whole.tiles[index + column : index + min(column + whole.piece_tiles, whole.columns)]
            file = io.BytesIO(piece_file(original, whole.items, tiles, whole.tile))
            image = open_with_pillow(file, image_format)
            del file
            image.load()
            release_decoder(image)
            if image.size != (len(tiles) * tile_width, tile_height):
                raise damaged()
            left = column * tile_width
            shown = min(image.width, width - left), min(tile_height, height - top)
            if shown != image.size:
                crop_in_place(image, (0, 0, *shown))
            yield image, (left, top)
            del image  # before the next is decoded


def _is_plain(original: Original, found: Items, tile: int, size: Size, coded: bytes) -> bool:
    properties = found.properties.get(tile, [])
    return (
        found.kinds.get(tile) == coded
        and items.size(original, properties) == size
        and len(properties) <= _MOST_PROPERTIES
        and all(box.kind not in _UNUSUAL for box in properties)
    )


def _have_equal_properties(original: Original, found: Items, tiles: Sequence[int]) -> bool:
    """Return whether all tiles are coded in one way, as they are said to be: a decoder of the whole looks at that."""
    different = {tuple((box.at, box.end) for box in found.properties.get(each, [])) for each in tiles}
    contents = {place: original[slice(*place)] for places in different for place in places}
    return len({tuple(contents[place] for place in places) for places in different}) == 1


def _are_coded_alike(original: Original, found: Items, tiles: Sequence[int], size: Size) -> bool:
    """Return whether all tiles of an AVIF have one sequence header, and announce no larger frame than they state.

    A decoder prepares for what they announce, and one of the whole refuses tiles of several kinds.
    """
    streams = av1.Streams()
    headers = {
        header
        for tile in dict.fromkeys(tiles)
        for header in streams.sequence_headers(Extents(original, found.places.get(tile, ())))
    }
    return len(headers) == 1 and all(header.size[0] <= size[0] and header.size[1] <= size[1] for header in headers)


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

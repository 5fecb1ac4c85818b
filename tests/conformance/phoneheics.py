"""HEICs as phones lay them out: tiles, and a thumbnail that is a picture of its own."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from fuzz import heifwriter
from support.pictures import images
from support.pictures.containers import boxes

if TYPE_CHECKING:
    from PIL import Image

TILE = 64
"""Both sides of a tile are so long."""


TURNS: Final = {
    1: (),
    2: (("imir", 1),),
    3: (("irot", 2),),
    4: (("imir", 0),),
    5: (("irot", 3), ("imir", 1)),
    6: (("irot", 3),),
    7: (("irot", 1), ("imir", 1)),
    8: (("irot", 1),),
}
"""The properties that do what an EXIF orientation says (ISO/IEC 23008-12, 6.5.10 and 6.5.12)."""


def turns(orientation: int) -> list[bytes]:
    """Make the boxes for an orientation."""
    return [heifwriter.box(kind.encode(), bytes((value,))) for kind, value in TURNS[orientation]]


def item(
    picture: Image.Image | bytes, *more: bytes, refers: tuple[bytes, tuple[int, ...]] | None = None
) -> heifwriter.Item:
    """Make an item of a picture, or of its HEIC; its sides are multiples of 64, so that the encoder crops nothing."""
    data = picture if isinstance(picture, bytes) else images.heic(picture)
    (mdat,) = (data[start:end] for kind, start, end in boxes(data) if kind == b"mdat")
    (meta,) = (box for box in boxes(data) if box[0] == b"meta")
    (iprp,) = (box for box in boxes(data, meta[1] + 4, meta[2]) if box[0] == b"iprp")
    (ipco,) = (box for box in boxes(data, *iprp[1:]) if box[0] == b"ipco")
    needed = tuple(
        data[start - 8 : end] for kind, start, end in boxes(data, *ipco[1:]) if kind in {b"hvcC", b"ispe", b"pixi"}
    )
    coded = mdat[: 4 + struct.unpack_from(">I", mdat)[0]]
    return heifwriter.Item(b"hvc1", coded, (*needed, *more), refers)


def tiled(image: Image.Image, *more: bytes) -> bytes:
    """Write a picture as a grid of tiles, with properties of the whole."""
    columns, rows = image.width // TILE, image.height // TILE
    tiles = [
        item(image.crop((TILE * column, TILE * row, TILE * (column + 1), TILE * (row + 1))))
        for row in range(rows)
        for column in range(columns)
    ]
    return heifwriter.heic([heifwriter.grid(columns, rows, 2, *more), *tiles])


def repeated(tile: Image.Image | bytes, columns: int, rows: int, size: tuple[int, int] | None = None) -> bytes:
    """Write a grid that has one and the same tile of 512 by 512 pixels in all places."""
    width, height = size or (512 * columns, 512 * rows)
    one, count = item(tile), columns * rows
    data = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    whole = heifwriter.Item(b"grid", data, (heifwriter.extent(width, height),), (b"dimg", tuple(range(2, count + 2))))
    return heifwriter.heic([whole, *[one] * count])


def with_thumbnail(image: Image.Image, thumbnail: Image.Image) -> bytes:
    """Write a picture with a thumbnail that may show something else."""
    return heifwriter.heic([item(image), item(thumbnail, refers=(b"thmb", (1,)))])

"""HEICs as phones lay them out: tiles, and a thumbnail that is a picture of its own."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fuzz import heifwriter
from support.pictures import images
from support.pictures.containers import boxes

if TYPE_CHECKING:
    from PIL import Image

TILE = 64
"""Both sides of a tile are so long."""


def _item(image: Image.Image, *more: bytes, refers: tuple[bytes, tuple[int, ...]] | None = None) -> heifwriter.Item:
    """Make an item of a picture whose sides are multiples of ``TILE``, so that the encoder crops nothing."""
    data = images.heic(image)
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
        _item(image.crop((TILE * column, TILE * row, TILE * (column + 1), TILE * (row + 1))))
        for row in range(rows)
        for column in range(columns)
    ]
    return heifwriter.heic([heifwriter.grid(columns, rows, 2, *more), *tiles])


def with_thumbnail(image: Image.Image, thumbnail: Image.Image) -> bytes:
    """Write a picture with a thumbnail that may show something else."""
    return heifwriter.heic([_item(image), _item(thumbnail, refers=(b"thmb", (1,)))])

"""Files of some tiles of a grid side by side (ISO/IEC 23008-12): what is said of the whole is said of them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.isomedia.extents import Extents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.formats.isomedia.items import Items
    from thumbq.imaging.geometry import Size

TURNS: Final = frozenset({b"irot", b"imir"})

_SIZE: Final = b"ispe"
_COLOURS: Final = b"colr"
_GRID: Final = b"grid"
_LONG_ASSOCIATIONS: Final = 1
_BRANDS: Final = {b"hvc1": b"heic", b"av01": b"avif"}

_Properties = list[bytes]


def piece_file(original: Original, found: Items, tiles: Sequence[int], tile: Size) -> bytes:
    """Write a file of some tiles of a file's grid: of one as it is, of more as a grid of one row."""
    image = [box for box in found.properties.get(found.primary, []) if box.kind != _SIZE and box.kind not in TURNS]
    properties = [[_raw(original, box) for box in found.properties[each]] for each in tiles]
    streams = [Extents(original, found.places.get(each, ())) for each in tiles]
    data = [stream.read(0, stream.size) for stream in streams]
    kind = found.kinds[tiles[0]]
    if len(tiles) == 1:
        return _file(kind, [kind], data, [_of_one(original, found.properties[tiles[0]], image)])
    width = len(tiles) * tile[0]
    whole = struct.pack(">BBBBII", 0, 1, 0, len(tiles) - 1, width, tile[1])
    said = [_full_box(_SIZE, struct.pack(">II", width, tile[1])), *(_raw(original, box) for box in image)]
    return _file(kind, [_GRID, *[kind] * len(tiles)], [whole, *data], [said, *properties])


def _of_one(original: Original, tile: Sequence[Box], image: Sequence[Box]) -> _Properties:
    """Return a tile's properties, with the colours of its picture where these are stated, and what only that has."""
    coloured = any(box.kind == _COLOURS for box in image)
    own = [box for box in tile if box.kind != _COLOURS or not coloured]
    known = {box.kind for box in own}
    return [_raw(original, box) for box in (*own, *(box for box in image if box.kind not in known))]


def _file(coded: bytes, kinds: Sequence[bytes], data: Sequence[bytes], properties: Sequence[_Properties]) -> bytes:
    """Put a file together: item 1 is its image, which is derived from the others, if there are any."""
    entries = [
        _full_box(b"infe", struct.pack(">HH", item, 0), kind, b"\0", version=2) for item, kind in enumerate(kinds, 1)
    ]
    others = range(2, len(kinds) + 1)
    derived = _box(b"dimg", struct.pack(f">HH{len(others)}H", 1, len(others), *others)) if others else b""
    fixed = (
        _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", struct.pack(">H", 1)),
        _full_box(b"iinf", struct.pack(">H", len(kinds)), *entries),
        *([_full_box(b"iref", derived)] if others else []),
        _properties(properties),
    )
    brand = _BRANDS[coded]
    start = _box(b"ftyp", brand, bytes(4), b"mif1", brand)
    pixels_at = len(start) + len(_full_box(b"meta", *fixed, _places(data, 0))) + len(_box(b"mdat"))
    return b"".join((start, _full_box(b"meta", *fixed, _places(data, pixels_at)), _box(b"mdat", *data)))


def _properties(of_items: Sequence[_Properties]) -> bytes:
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

"""Alpha planes that do not say how large they are (no ``ispe``), as old versions of libheif wrote them.

They are as large as their image. libavif, as Pillow calls it, refuses the whole file.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.isomedia import items
from thumbq.imaging.formats.isomedia.boxes import boxes, damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.formats.isomedia.items import Items

_SIZE: Final = b"ispe"
_FULL: Final = 4
_HEADER: Final = 8
_NEUTRAL: Final = b"free"


def with_alpha_sizes(original: Original) -> io.BytesIO | None:
    """Return the file with a size for each of its alpha planes, None when nothing is missing.

    Its meta box becomes free space, and one that says more comes after all else: so no data move. Raises RenderRefused.
    """
    meta = next((box for box in boxes(original, 0, len(original)) if box.kind == b"meta"), None)
    if meta is None:
        return None
    missing = _missing(original, meta)
    if not missing:
        return None
    kind_at = meta.at - len(_NEUTRAL)
    try:
        told = _told(original, meta, missing)
    except (IndexError, OverflowError, ValueError):  # more properties, or larger boxes, than anybody writes
        raise damaged() from None
    with memoryview(original) as data:
        return io.BytesIO(b"".join([data[:kind_at], _NEUTRAL, data[meta.at :], told]))


def _missing(original: Original, meta: Box) -> dict[int, Box]:
    """Return the size of the image that each alpha plane without a size belongs to."""
    found = items.read(original, meta)
    planes = {item: found.image_of(item) for kind, item in found.references if kind == b"auxl"}
    sizes = {item: _size_of(found, item) for item in {*planes, *planes.values()}}
    return {
        plane: size for plane, image in planes.items() if sizes[plane] is None and (size := sizes[image]) is not None
    }


def _size_of(found: Items, item: int) -> Box | None:
    return next((box for box in found.properties.get(item, []) if box.kind == _SIZE), None)


def _told(original: Original, meta: Box, missing: Mapping[int, Box]) -> bytes:
    """Return the meta box with these sizes among the properties of these items."""
    iprp = next(box for box in boxes(original, meta.at + _FULL, meta.end) if box.kind == b"iprp")
    parts = list(boxes(original, iprp.at, iprp.end))
    known = [box.at for part in parts if part.kind == b"ipco" for box in boxes(original, part.at, part.end)]
    start = meta.at - _HEADER
    told = bytearray(original[start : meta.end])
    for part in reversed(parts):
        if part.kind == b"ipma":
            entries = [entry for entry in items.association_entries(original, part) if entry[0] in missing]
            for item, first, after, index_bytes in reversed(entries):
                index = known.index(missing[item].at) + 1
                told[after - start : after - start] = index.to_bytes(index_bytes, "big")
                told[first - 1 - start] += 1
                for box in (part, iprp, meta):
                    _lengthen(told, box.at - _HEADER - start, index_bytes)
    return bytes(told)


def _lengthen(data: bytearray, at: int, growth: int) -> None:
    size = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = (size + growth).to_bytes(4, "big")

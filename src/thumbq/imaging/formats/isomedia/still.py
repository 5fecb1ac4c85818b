"""The primary image of an AVIF or HEIC (ISO/IEC 23008-12, AV1 image file format 1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.errors import RenderRefused
from thumbq.imaging.formats.isomedia import av1, codings, items
from thumbq.imaging.formats.isomedia.boxes import boxes
from thumbq.imaging.formats.isomedia.extents import Extents
from thumbq.imaging.header import Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.core.formats import ImageFormat
    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box
    from thumbq.imaging.formats.isomedia.items import Items

_FULL: Final = 4
_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")

_FLAGS_AT, _GRID_SIZE_AT, _OVERLAY_SIZE_AT = 1, 4, 10
_LONG_SIZE: Final = 1
"""The flag of a derived image whose size has numbers of 4 bytes, not 2."""

_Size = tuple[int, int]


def read_still(original: Original, image_format: ImageFormat) -> Header:
    """Read the header of a file's primary image. Raises RenderRefused."""
    meta = {box.kind: box for box in boxes(original, 0, len(original))}.get(b"meta")
    if meta is None:
        raise RenderRefused("unsupported-format", "the file holds no still image")
    found = items.read(original, meta)
    tiles = found.references.get((b"dimg", found.primary), [])
    first = tiles[0] if tiles else found.primary
    size = items.size(original, found.properties.get(found.primary, []))
    if not all(size):
        raise RenderRefused("corrupt", "the file does not say how large its image is")
    coding = codings.of(original, [*found.properties.get(found.primary, []), *found.properties.get(first, [])])
    alpha = any(
        kind == b"auxl" and found.primary in targets and _is_alpha(original, found.properties.get(item, []))
        for (kind, item), targets in found.references.items()
    )
    return Header(
        image_format,
        *size,
        channels=coding.channels + alpha,
        bits=coding.bits,
        scratch_bytes=coding.plane_bytes(*_sizes(original, found), alpha=alpha),
    )


def _sizes(original: Original, found: Items) -> Iterator[_Size]:
    """Yield the sizes of all that a decoder makes on the way to the primary image: as stated, and as coded."""
    streams = av1.Streams()
    for item in found.made_of(found.primary):
        size, data = _size(original, found, item), Extents(original, found.places.get(item, ()))
        yield size
        match found.kinds.get(item):
            case b"av01":
                yield from (header.size for header in streams.sequence_headers(data))
            case b"grid":
                _check_canvas(data, _GRID_SIZE_AT, size)
            case b"iovl":
                _check_canvas(data, _OVERLAY_SIZE_AT, size)


def _size(original: Original, found: Items, item: int) -> _Size:
    """Return the stated size of an item; old versions of libheif state none of an alpha plane, which is its image's."""
    own = items.size(original, found.properties.get(item, []))
    return own if all(own) else items.size(original, found.properties.get(found.image_of(item), []))


def _check_canvas(data: Extents, at: int, size: _Size) -> None:
    """Refuse a derived image whose own size is not what the file says (ISO/IEC 23008-12, 6.6.2.2 and 6.6.2.3)."""
    width = 4 if int.from_bytes(data.read(_FLAGS_AT, 1), "big") & _LONG_SIZE else 2
    if tuple(int.from_bytes(data.read(side, width), "big") for side in (at, at + width)) != size:
        raise RenderRefused("corrupt", "the file says two sizes of its image")


def _is_alpha(original: Original, properties: list[Box]) -> bool:
    return any(
        box.kind == b"auxC" and original[box.at + _FULL : box.end].partition(b"\0")[0] in _ALPHA for box in properties
    )

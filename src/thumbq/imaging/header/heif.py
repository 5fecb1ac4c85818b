"""AVIF and HEIC (ISO/IEC 23008-12, AV1 image file format 1.1): the primary image, or an AVIF's sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import av1, codings, items, sequence
from thumbq.imaging.header.extents import Extents
from thumbq.imaging.header.facts import Header
from thumbq.imaging.header.isomedia import Box, boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original
    from thumbq.imaging.header.items import Items

_FULL: Final = 4
_SEQUENCE_BRAND: Final = b"avis"
_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")

_FLAGS_AT, _GRID_SIZE_AT, _OVERLAY_SIZE_AT = 1, 4, 10
_LONG_SIZE: Final = 1
"""The flag of a derived image whose size has numbers of 4 bytes, not 2."""

_Size = tuple[int, int]


def read_avif(original: Original) -> Header:
    """Read an AVIF's header: as libavif does, the sequence's when the major brand says that it is one."""
    parts = {box.kind: box for box in boxes(original, 0, len(original))}
    if original[8:12] == _SEQUENCE_BRAND and b"moov" in parts:
        return sequence.read(original, parts[b"moov"])
    return _read_still(original, ImageFormat.AVIF, parts.get(b"meta"))


def read_heif(original: Original) -> Header:
    """Read the header of a HEIF's primary image."""
    parts = {box.kind: box for box in boxes(original, 0, len(original))}
    return _read_still(original, ImageFormat.HEIF, parts.get(b"meta"))


def _read_still(original: Original, image_format: ImageFormat, meta: Box | None) -> Header:
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
    """Yield the sizes of all that a decoder makes on the way to the primary image: what is said, and what is coded."""
    streams = av1.Streams()
    for item in found.made_of(found.primary):
        size, data = items.size(original, found.properties.get(item, [])), Extents(original, found.places.get(item, ()))
        yield size
        match found.kinds.get(item):
            case b"av01":
                yield from streams.frame_sizes(data)
            case b"grid":
                _check_canvas(data, _GRID_SIZE_AT, size)
            case b"iovl":
                _check_canvas(data, _OVERLAY_SIZE_AT, size)


def _check_canvas(data: Extents, at: int, size: _Size) -> None:
    """Refuse a derived image whose own size is not what the file says (ISO/IEC 23008-12, 6.6.2.2 and 6.6.2.3)."""
    width = 4 if int.from_bytes(data.read(_FLAGS_AT, 1), "big") & _LONG_SIZE else 2
    if tuple(int.from_bytes(data.read(side, width), "big") for side in (at, at + width)) != size:
        raise RenderRefused("corrupt", "the file says two sizes of its image")


def _is_alpha(original: Original, properties: list[Box]) -> bool:
    return any(
        box.kind == b"auxC" and original[box.at + _FULL : box.end].partition(b"\0")[0] in _ALPHA for box in properties
    )

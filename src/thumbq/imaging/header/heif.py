"""AVIF and HEIC (ISO/IEC 23008-12, AV1 image file format 1.1): the primary image, or an AVIF's sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import av1, codings, items, sequence
from thumbq.imaging.header.facts import Header
from thumbq.imaging.header.isomedia import Box, boxes, number

if TYPE_CHECKING:
    from thumbq.imaging import Original

_FULL: Final = 4
_SEQUENCE_BRAND: Final = b"avis"
_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")

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
    size = _size(original, found.properties.get(found.primary, []))
    if not all(size):
        raise RenderRefused("corrupt", "the file does not say how large its image is")
    coded = av1.frame_size(original, found.starts.get(first, 0)) if image_format is ImageFormat.AVIF else (0, 0)
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
        scratch_bytes=coding.plane_bytes(coded, size, alpha=alpha),
    )


def _size(original: Original, properties: list[Box]) -> _Size:
    for box in properties:
        if box.kind == b"ispe":
            return number(original, box.at + _FULL, 4), number(original, box.at + _FULL + 4, 4)
    return 0, 0


def _is_alpha(original: Original, properties: list[Box]) -> bool:
    return any(
        box.kind == b"auxC" and original[box.at + _FULL : box.end].partition(b"\0")[0] in _ALPHA for box in properties
    )

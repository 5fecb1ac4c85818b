"""The few EXIF tags that are read, and nothing else of an original's metadata.

Of the first directory of the EXIF block only: Pillow's getexif would take an orientation also from XMP, which browsers
and libvips do not obey, and cannot give a text as the bytes that it is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from PIL import ExifTags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

_ORIENTATIONS: Final = range(1, 9)
_COPYRIGHT: Final = (ExifTags.Base.Artist, ExifTags.Base.Copyright)

_PREFIX: Final = b"Exif\0\0"
_MOST_PREFIXES: Final = 2
"""Pillow puts one before a PNG's block; some writers put it there themselves."""

_ORDERS: Final = {b"II": "<", b"MM": ">"}
_ENTRY: Final = "HHI4s"
_ENTRY_BYTES: Final = 12
_INLINE_BYTES: Final = 4

_ASCII, _UTF8 = 2, 129
_TEXTS: Final = frozenset({_ASCII, _UTF8})
"""EXIF 3.0 has a type of its own for UTF-8, which many programs write into ASCII."""

_WHOLE_NUMBERS: Final = {3: "H", 4: "I"}
_LONGEST_TEXT: Final = 16_384
"""In bytes: longer is no name, and two of them fit into a JPEG's segment."""


class _Field(NamedTuple):
    """A tag's type and number of values; ``value`` is where they are, or they themselves if 4 bytes hold them."""

    kind: int
    number: int
    value: bytes


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; an invalid one counts as 1."""
    return orientation_of(_block(image))


def orientation_of(block: bytes) -> int:
    """Return the orientation that an EXIF block tells, as ``orientation``."""
    block = _bare(block)
    field = _field(block, ExifTags.Base.Orientation)
    if field is None or field.kind not in _WHOLE_NUMBERS or field.number != 1:
        return 1
    (found,) = struct.unpack_from(_ORDERS[block[:2]] + _WHOLE_NUMBERS[field.kind], field.value)
    return found if found in _ORIENTATIONS else 1


def copyright_only(image: Image.Image, read_text: Callable[[Image.Image, int], tuple[int, bytes] | None]) -> bytes:
    """Return an EXIF block with an original's artist and copyright, and nothing else; empty when it names neither.

    The bytes of the texts are the original's, whatever their encoding; ``read_text`` reads them (``text`` for most
    formats).
    """
    found = ((tag, read_text(image, tag)) for tag in _COPYRIGHT)
    kept = [(tag, *value) for tag, value in found if value is not None and value[1].strip(b"\0 ")]
    return _written(kept) if kept else b""


def _block(image: Image.Image) -> bytes:
    """Return the EXIF block from its byte order on; empty when there is none."""
    block = image.info.get("exif")
    return _bare(block) if isinstance(block, bytes) else b""


def _bare(block: bytes) -> bytes:
    """Return a block without what some writers put before it; empty when it is none."""
    for _ in range(_MOST_PREFIXES):
        block = block.removeprefix(_PREFIX)
    return block if block[:2] in _ORDERS else b""


def _field(block: bytes, tag: int) -> _Field | None:
    """Look for a tag in the first directory (TIFF 6.0, section 2), as far as the block goes."""
    order = _ORDERS.get(block[:2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        first = directory + 2
        for at in range(first, first + entries * _ENTRY_BYTES, _ENTRY_BYTES):
            number, *field = struct.unpack_from(order + _ENTRY, block, at)
            if number == tag:
                return _Field(*field)
    except struct.error:
        return None
    return None


def text(image: Image.Image, tag: int) -> tuple[int, bytes] | None:
    """Return type and bytes of a text that is all there."""
    block = _block(image)
    field = _field(block, tag)
    if field is None or field.kind not in _TEXTS or field.number > _LONGEST_TEXT:
        return None
    if field.number <= _INLINE_BYTES:
        return field.kind, field.value[: field.number]
    (at,) = struct.unpack(_ORDERS[block[:2]] + "I", field.value)
    value = block[at : at + field.number]
    return (field.kind, value) if len(value) == field.number else None


def text_of_tiff(image: Image.Image, tag: int) -> tuple[int, bytes] | None:
    """Return a text of a TIFF, whose tags are in the file itself: Pillow reads each of its bytes as one character."""
    found = image.getexif().get(tag)
    if not isinstance(found, str) or len(found) >= _LONGEST_TEXT:
        return None
    return _ASCII, found.encode("latin-1") + b"\0"


def _written(texts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Write an EXIF block of one directory."""
    header = b"II*\0" + struct.pack("<I", 8)
    after = len(header) + 2 + len(texts) * _ENTRY_BYTES + 4
    entries, values = b"", b""
    for tag, kind, body in texts:
        value = body if len(body) <= _INLINE_BYTES else struct.pack("<I", after + len(values))
        entries += struct.pack("<HHI4s", tag, kind, len(body), value)
        if len(body) > _INLINE_BYTES:
            values += body + b"\0" * (len(body) % 2)
    return _PREFIX + header + struct.pack("<H", len(texts)) + entries + bytes(4) + values

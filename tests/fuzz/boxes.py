"""The boxes of ISO media files (ISO/IEC 14496-12): where they begin and end, and the offsets that some of them hold."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINED: Final = {
    b"meta": 4, b"iref": 4, b"iinf": 6, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"edts": 0, b"mdia": 0,
    b"minf": 0, b"dinf": 0, b"dref": 8, b"stbl": 0, b"stsd": 8, b"av01": 78, b"hvc1": 78,
}  # fmt: skip
"""Boxes with boxes inside, and how many bytes come before those."""


def walk(data: bytes) -> Iterator[tuple[bytes, bytes, int | None]]:
    """Yield each box's kind and body, and what precedes the boxes inside it; junk at the end has no kind."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size < 8 or at + size > len(data):
            break
        body, skip = data[at + 8 : at + size], _CONTAINED.get(kind)
        yield kind, body, skip if skip is not None and skip <= len(body) else None
        at += size
    if at < len(data):
        yield b"", data[at:], None


def shifted(kind: bytes, body: bytes, by: int) -> bytes:
    """Return the body of an ``iloc`` or ``stco`` box with all file offsets moved, as far as it makes sense."""
    moved = bytearray(body)
    with suppress(struct.error, IndexError):
        for at in _places(kind, body):
            (offset,) = struct.unpack_from(">I", body, at)
            struct.pack_into(">I", moved, at, (offset + by) & 0xFFFFFFFF)
    return bytes(moved)


def _places(kind: bytes, body: bytes) -> Iterator[int]:
    """Yield where the offsets stand; none where they are not of 32 bits."""
    if kind == b"stco":
        (count,) = struct.unpack_from(">I", body, 4)
        yield from range(8, min(8 + 4 * count, len(body) - 3), 4)
        return
    version, offset_size, length_size, base_size = body[0], body[4] >> 4, body[4] & 15, body[5] >> 4
    if version > 1 or offset_size != 4 or base_size not in {0, 4}:
        return
    (count,), at = struct.unpack_from(">H", body, 6), 8
    for _ in range(count):
        method = body[at + 3] & 15 if version else 0
        at += 6 if version else 4
        (extents,) = struct.unpack_from(">H", body, at + base_size)
        based = base_size == 4 and body[at : at + 4] != bytes(4)
        if based and not method:
            yield at
        at += base_size + 2
        for _ in range(extents):
            if not based and not method:
                yield at
            at += 4 + length_size

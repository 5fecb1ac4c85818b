"""What image files are made of: reading the parts of a JPEG, PNG, WebP or ISO media file, and adding parts."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Part = tuple[bytes, bytes]
"""The name and the body of a chunk or box."""

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

EXIF: Final = 0xE1
ICC: Final = 0xE2
COMMENT: Final = 0xFE

_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})
_START_OF_SCAN: Final = 0xDA
_BOX_HEADER: Final = 8


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of every segment up to the end marker; entropy-coded data belongs to its SOS."""
    at = 2
    while at < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _ALONE:
            yield marker, b""
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            end = _scan_end(data, end)
        yield marker, data[at + 4 : end]
        at = end


def _scan_end(data: bytes, at: int) -> int:
    while (at := data.find(b"\xff", at)) != -1:
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2
    return len(data)


def jpeg_with(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """Add segments (marker and body) to a JPEG, after its JFIF header."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + int.from_bytes(data[4:6], "big")
    added = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:at] + added + data[at:]


def icc_segments(profile: bytes, pieces: int = 1) -> list[tuple[int, bytes]]:
    """Split a profile into JPEG segments (ICC.1:2022, B.4)."""
    size = -(-len(profile) // pieces)
    return [
        (ICC, b"ICC_PROFILE\0" + bytes([number + 1, pieces]) + profile[number * size : (number + 1) * size])
        for number in range(pieces)
    ]


def png_chunks(data: bytes) -> list[Part]:
    """Return every chunk up to the end of the file."""
    found, at = [], len(PNG_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_file(chunks: Iterable[Part]) -> bytes:
    """Put a PNG together."""
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def png(width: int, height: int, rows: bytes, *, bits: int, kind: int, more: Iterable[Part] = ()) -> bytes:
    """Make a PNG of raw rows (each without its filter byte) in any bit depth and colour type of the standard."""
    stride = len(rows) // height
    filtered = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    return png_of(filtered, (width, height), bits, kind, more=more)


def png_of(
    filtered: bytes, size: tuple[int, int], bits: int, kind: int, *, interlace: int = 0, more: Iterable[Part] = ()
) -> bytes:
    """Make a PNG of rows that have their filter bytes, in the order in which they stand in the file."""
    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, interlace)
    return png_file([(b"IHDR", header), *more, (b"IDAT", zlib.compress(filtered)), (b"IEND", b"")])


def png_with(data: bytes, *chunks: Part, before: bytes = b"IDAT") -> bytes:
    """Add chunks to a PNG, before its first chunk of a kind."""
    parts = png_chunks(data)
    at = [kind for kind, _ in parts].index(before)
    return png_file([*parts[:at], *chunks, *parts[at:]])


def riff_chunks(data: bytes, start: int = 12) -> list[Part]:
    """Return the chunks of a WebP file, or of an ANMF's body from ``start`` on."""
    found, at = [], start
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def riff_part(kind: bytes, body: bytes) -> bytes:
    """Return one chunk as it stands in a file."""
    return struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) % 2)


def webp_file(chunks: Iterable[Part]) -> bytes:
    """Put a WebP file together."""
    body = b"WEBP" + b"".join(riff_part(*chunk) for chunk in chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the body of each box (ISO/IEC 14496-12, 4.2) in a part of a file."""
    at, end = start, len(data) if end is None else end
    while at + _BOX_HEADER <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        header = _BOX_HEADER
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        size = size or end - at
        yield kind, at + header, at + size
        at += size

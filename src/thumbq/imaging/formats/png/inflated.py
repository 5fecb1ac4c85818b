"""A PNG's pixels, inflated by libdeflate in a third to a tenth of zlib's time; Pillow gets them in blocks as they are.

The header tells their exact size, so that nothing can grow. What is not exactly that, or damaged, is left to zlib.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import deflate

from thumbq.imaging.formats.png.chunks import CHUNK_START, chunks
from thumbq.imaging.formats.png.rows import announced_bytes

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_ZLIB: Final = b"\x78\x01"
_BLOCK: Final = struct.Struct("<BHH")
"""An uncompressed block (RFC 1951, 3.2.4): whether it is the last one, its length, and that with all bits turned."""

_BLOCK_BYTES: Final = (1 << 16) - 1
_CHECKSUM: Final = struct.Struct(">I")
_MOST_BYTES: Final = 1 << 30
"""A chunk has no more than twice that."""


def needed_bytes(original: Original, header: Header) -> int:
    """Return what inflating takes at once: the data of all chunks, and what it becomes."""
    assert header.png is not None
    return sum(end - start for start, end in header.png.pixels) + announced_bytes(original, header)


def inflated(original: Original, header: Header) -> list[bytes | memoryview] | None:
    """Return the pixels as the parts of one chunk that is not compressed; None when that is not to be had."""
    assert header.png is not None
    size = announced_bytes(original, header)
    if header.png.cut is not None or size > _MOST_BYTES:
        return None
    data = b"".join(original[chunk.at : chunk.end] for chunk in chunks(original) if chunk.kind == b"IDAT")
    try:
        rows = memoryview(deflate.zlib_decompress(data, size))
    except (deflate.DeflateError, MemoryError):
        return None
    if len(rows) != size:
        return None
    parts: list[bytes | memoryview] = [_ZLIB]
    for start in range(0, size, _BLOCK_BYTES):
        block = rows[start : start + _BLOCK_BYTES]
        is_last = start + _BLOCK_BYTES >= size
        parts += [_BLOCK.pack(is_last, len(block), len(block) ^ _BLOCK_BYTES), block]
    parts.append(_CHECKSUM.pack(deflate.adler32(rows)))
    return [CHUNK_START.pack(sum(map(len, parts)), b"IDAT"), *parts]

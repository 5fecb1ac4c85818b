"""Files that are small and say that they are large, written by hand."""

from __future__ import annotations

import struct
from typing import Final

from support.pictures.containers import webp_file

_DQT: Final = b"\xff\xdb\0\x43\0" + b"\1" * 64
# One code of one bit: no difference for DC, end of block for AC.
_DHT: Final = b"".join(b"\xff\xc4\0\x14" + kind + b"\1" + bytes(16) for kind in (b"\0", b"\x10"))


def grey_jpeg(width: int, height: int) -> bytes:
    """Make a whole baseline JPEG of one grey: two bits for each block."""
    blocks = -(-width // 8) * -(-height // 8)
    return _jpeg(b"\xc0", width, height) + _scan(b"\0\x3f\0") + bytes(blocks // 4 + 1) + b"\xff\xd9"


def colour_jpeg(width: int, height: int) -> bytes:
    """Make a whole baseline JPEG of one colour in 4:2:0: twelve bits for each block of 16 by 16 pixels."""
    blocks = -(-width // 16) * -(-height // 16)
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x22\0\2\x11\0\3\x11\0"
    start = b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0"
    return b"\xff\xd8" + _DQT + b"\xff\xc0\0\x11" + frame + _DHT + start + bytes(blocks * 3 // 2 + 1) + b"\xff\xd9"


def progressive_jpeg(width: int, height: int, scans: int = 1, *, blocks: int = 0) -> bytes:
    """Make a progressive JPEG whose scans have next to no data."""
    one = _scan(b"\0\0\0") + bytes(blocks // 8 + 1)
    return _jpeg(b"\xc2", width, height) + one * scans + b"\xff\xd9"


def _jpeg(frame: bytes, width: int, height: int) -> bytes:
    return b"\xff\xd8" + _DQT + b"\xff" + frame + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0" + _DHT


def _scan(range_and_bits: bytes) -> bytes:
    return b"\xff\xda\0\x08\1\1\0" + range_and_bits


def webp(width: int, height: int) -> bytes:
    """Make a whole lossless WebP of one colour: codes of one symbol take no bits (RFC 9649, 3.7.2.1.1)."""
    bits = (width - 1) | (height - 1) << 14 | 0 << 28
    # No transform, no colour cache, no meta codes; five simple codes of one symbol, 0, in one bit.
    for number in range(5):
        bits |= 1 << (32 + 3 + 4 * number)
    return webp_file([(b"VP8L", b"\x2f" + bits.to_bytes(8, "little"))])


def gif(width: int, height: int) -> bytes:
    """Make a GIF whose only frame has no pixels' worth of data."""
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x08\2\0\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + bytes(768) + frame + b";"


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return struct.pack("<2sIII", b"BM", 154, 0, 54) + header + bytes(100)


def tiff(width: int, height: int, *, next_at: int = 0, strip: bytes = bytes(100)) -> bytes:
    """Make a TIFF whose one strip is short; ``next_at`` is where it says that its next page lies."""
    at = 8 + 2 + 9 * 12 + 4
    tags = (
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, at),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(strip)),
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", next_at) + strip

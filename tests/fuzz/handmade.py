"""Writers of files that Pillow cannot write: PNG of every kind, BMP of every kind, tiled and planar TIFF."""

from __future__ import annotations

import random
import struct
import zlib
from typing import TYPE_CHECKING, Final

from support.pictures.containers import png_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PNG_KINDS: Final = tuple(
    (colour, depth)
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16)))
    for depth in depths
)
"""Every pair of colour type and bit depth that there is (W3C PNG, table 11.1)."""

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_WHOLE: Final = ((0, 0, 1, 1),)
_ADAM7: Final = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip


def png(
    size: tuple[int, int], colour: int, depth: int, *, interlaced: bool = False, chunks: Sequence[tuple[bytes, bytes]]
) -> bytes:
    """Make a PNG of noise; ``chunks`` come before the pixels."""
    width, height = size
    pixels = bytearray()
    for left, top, right, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        row_bytes = -(-columns * _CHANNELS[colour] * depth // 8)
        for row in range(rows if columns > 0 else 0):
            pixels += bytes([row % 5]) + _noise(row_bytes)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = [(b"PLTE", _noise(3 << depth))] if colour == 3 else []
    body = [(b"IHDR", header), *palette, *chunks, (b"IDAT", zlib.compress(bytes(pixels), 1)), (b"IEND", b"")]
    return png_file(body)


def bmp(size: tuple[int, int], bits: int, *, header_bytes: int = 40, compression: int = 0) -> bytes:
    """Make a BMP of noise, or of runs when compressed (1: RLE8, 2: RLE4; 3 has masks). Negative height: top-down."""
    width, height = size
    rows = abs(height)
    if compression in {1, 2}:
        runs = b"\xff\x07" * (width // 255) + (bytes([width % 255, 7]) if width % 255 else b"")
        pixels = (runs + b"\0\0") * rows + b"\0\1"
    else:
        pixels = _noise(-(-width * bits // 32) * 4 * rows)
    palette = b"" if bits > 8 else _noise((3 if header_bytes == 12 else 4) << bits)
    if header_bytes == 12:
        header = struct.pack("<IHHHH", 12, width, rows, 1, bits)
    else:
        fields = (header_bytes, width, height, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)
        masks = struct.pack("<4I", 0xF800, 0x7E0, 0x1F, 0) if bits == 16 else struct.pack("<4I", *_MASKS_32)
        header = struct.pack("<IiiHHIIiiII", *fields)
        header += (masks if compression == 3 else b"").ljust(header_bytes - 40, b"\0")
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + header + palette + pixels


_MASKS_32: Final = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def tiff(tags: Mapping[int, Sequence[int]], blocks: Sequence[bytes], *, tiled: bool, order: str = "<") -> bytes:
    """Make a TIFF of one page; its ``blocks`` are the strips or tiles. ``tags`` hold SHORTs."""
    file = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0))
    places = []
    for block in blocks:
        places.append(len(file))
        file += block
    lengths = [len(block) for block in blocks]
    where = {324: places, 325: lengths} if tiled else {273: places, 279: lengths}
    entries = bytearray()
    for tag, values in sorted({**tags, **where}.items()):
        kind, code = (4, "I") if tag in where else (3, "H")
        packed = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(packed) > 4:
            packed, out = struct.pack(order + "I", len(file)), packed
            file += out
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    struct.pack_into(order + "I", file, 4, len(file))
    return bytes(file) + struct.pack(order + "H", len(entries) // 12) + entries + bytes(4)


def noise_blocks(count: int, size: int) -> list[bytes]:
    return [_noise(size) for _ in range(count)]


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)

"""TIFFs written byte by byte, of every kind of pixels, compression and layout: Pillow writes but few of those it reads.

Samples are an array of height by width by samples a pixel, and stand in the file as they stand there.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Samples = NDArray[Any]

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
UNSIGNED, SIGNED, FLOAT = 1, 2, 3

_SHORT, _LONG, _BYTES, _LONG8 = 3, 4, 7, 16
_CODES: Final = {_BYTES: "B", _SHORT: "H", _LONG: "I", _LONG8: "Q"}
_PLACES: Final = frozenset({273, 279, 324, 325})
_LITERALS: Final = 250
"""Codes of 9 bits until an LZW decoder's table would need 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How samples stand in the file. ``bits`` is for less than 8 bits; ``tile`` is width and height, 0 for strips."""

    photometric: int = BLACK_IS_ZERO
    compression: int = NONE
    order: Literal["<", ">"] = "<"
    bits: int | None = None
    planar: int = 1
    tile: tuple[int, int] | None = None
    rows: int | None = None
    predictor: int = 1
    extra: Sequence[int] = ()
    big: bool = False
    tags: Mapping[int, Sequence[int] | bytes] = field(default_factory=dict)


def tiff(samples: Samples, layout: Layout) -> bytes:
    """Write a TIFF of one page. ``layout.tags`` are further tags, or other values for those that are written."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    kind = samples.dtype.kind
    bits = layout.bits or samples.dtype.itemsize * 8
    planes = [samples] if layout.planar == 1 else np.split(samples, count, axis=2)
    across, down = layout.tile or (width, layout.rows or height)
    parts = [_packed(part, layout, bits) for plane in planes for part in _parts(plane, across, down, layout)]
    tags: dict[int, Sequence[int] | bytes] = {
        256: [width],
        257: [height],
        258: [bits] * count,
        259: [layout.compression],
        262: [layout.photometric],
        277: [count],
        284: [layout.planar],
        339: [{"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[kind]] * count,
    }
    if layout.predictor != 1:
        tags[317] = [layout.predictor]
    if layout.extra:
        tags[338] = layout.extra
    tags |= {322: [across], 323: [down]} if layout.tile else {278: [down]}
    offsets = list(np.cumsum([16, *(len(part) + len(part) % 2 for part in parts)]))
    tags |= dict(zip((324, 325) if layout.tile else (273, 279), (offsets[:-1], list(map(len, parts))), strict=True))
    body = b"".join(part + bytes(len(part) % 2) for part in parts)
    return _file(body, tags | dict(layout.tags), layout)


def _parts(plane: Samples, across: int, down: int, layout: Layout) -> Iterator[Samples]:
    height, width = plane.shape[:2]
    for top in range(0, height, down):
        for left in range(0, width, across):
            part = plane[top : top + down, left : left + across]
            if layout.tile:
                missing = (down - part.shape[0], across - part.shape[1])
                part = np.pad(part, [(0, missing[0]), (0, missing[1]), (0, 0)])
            yield part


def _packed(part: Samples, layout: Layout, bits: int) -> bytes:
    rows = part.reshape(part.shape[0], -1)
    if bits < 8 or bits == 12:
        shifts = np.arange(bits)[::-1]
        rows = np.packbits(((rows[..., None] >> shifts) & 1).astype(np.uint8).reshape(part.shape[0], -1), axis=1)
    elif layout.predictor == 2:
        before = np.pad(part, [(0, 0), (1, 0), (0, 0)])[:, :-1]
        rows = (part - before).reshape(part.shape[0], -1)
    rows = rows.astype(rows.dtype.newbyteorder(layout.order))
    raw = [row.tobytes() for row in rows]
    if layout.predictor == 3:
        raw = [_float_differences(row, part.shape[2]) for row in rows]
    match layout.compression:
        case 5:
            return _lzw(b"".join(raw))
        case 8:
            return zlib.compress(b"".join(raw))
        case 32773:
            runs = (row[at : at + 128] for row in raw for at in range(0, len(row), 128))
            return b"".join(bytes([len(run) - 1, *run]) for run in runs)
    return b"".join(raw)


def _float_differences(row: Samples, samples: int) -> bytes:
    """Put the bytes of all values apart, the highest of each first, and take differences of bytes."""
    planes = row.astype(">f4").view(np.uint8).reshape(-1, 4).T.reshape(-1)
    before = np.concatenate([np.zeros(samples, np.uint8), planes[:-samples]])
    return bytes((planes - before).tobytes())


def _lzw(raw: bytes) -> bytes:
    """Write literals only, with a new table whenever the codes would get longer."""
    codes = []
    for at in range(0, len(raw), _LITERALS):
        codes += [256, *raw[at : at + _LITERALS]]
    codes.append(257)
    bits = "".join(f"{code:09b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _file(body: bytes, tags: Mapping[int, Sequence[int] | bytes], layout: Layout) -> bytes:
    order, big = layout.order, layout.big
    entry, inline, wide = (20, 8, _LONG8) if big else (12, 4, _LONG)
    mark = {"<": b"II", ">": b"MM"}[order]
    at = 16 + len(body)
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at))
    values_at = at + (8 if big else 2) + entry * len(tags) + inline
    entries, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        kind = wide if tag in _PLACES else _LONG if max(numbers) > 0xFFFF else _SHORT
        kind = _BYTES if isinstance(numbers, bytes) else kind
        packed = struct.pack(f"{order}{len(numbers)}{_CODES[kind]}", *numbers)
        if len(packed) > inline:
            place = struct.pack(order + _CODES[wide], values_at + len(values))
            values += packed + bytes(len(packed) % 2)
            packed = place
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(numbers)) + packed.ljust(inline, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return head.ljust(16, b"\0") + body + count + entries + bytes(inline) + values

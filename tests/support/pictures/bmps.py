"""BMPs written byte by byte: headers of every version, masks of every kind, and runs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

CORE, OS2_SHORT, INFO, V3, OS2, V4, V5 = 12, 16, 40, 56, 64, 108, 124
NONE, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHABITFIELDS = range(7)

EMBEDDED, LINKED, CALIBRATED, SRGB = b"DEBM", b"KNIL", b"\0\0\0\0", b"BGRs"

_HALF: Final = 1 << 16


def bmp(
    size: tuple[int, int],
    depth: int,
    pixels: bytes,
    *,
    header: int = INFO,
    compression: int = NONE,
    masks: Sequence[int] = (),
    palette: Sequence[tuple[int, ...]] = (),
    space: bytes = SRGB,
    ends: Sequence[float] = (0.0,) * 9,
    gamma: float = 0.0,
    profile: bytes = b"",
    reserved: int = 0,
) -> bytes:
    """Write a BMP; a negative height means rows from the top down. ``palette`` is red, green and blue of each colour.

    ``ends`` are XYZ of red, green and blue in a V4 header; in a V5 header ``profile`` comes after the pixels.
    """
    if header == CORE:
        head = struct.pack("<IHHHH", header, *size, 1, depth)
    else:
        fields = struct.pack("<IiiHHIIiiII", header, *size, 1, depth, compression, len(pixels), 0, 0, len(palette), 0)
        head = fields[: min(header, len(fields))]
    packed = struct.pack(f"<{len(masks)}I", *masks)
    if header >= V4:
        numbers = [round(end * (1 << 30)) for end in ends] + [round(gamma * _HALF)] * 3
        head += packed.ljust(16, b"\0") + struct.pack("<4s12I", space, *numbers)
    else:
        head += packed
    head = head.ljust(header, b"\0")
    table = b"".join(bytes(colour[::-1]) + (b"" if header == CORE else b"\0") for colour in palette)
    at = 14 + len(head) + len(table)
    if header == V5:
        head = head[:108] + struct.pack("<IIII", 4, at - 14 + len(pixels), len(profile), 0)
    whole = head + table + pixels + profile
    return struct.pack("<2sIII", b"BM", 14 + len(whole), reserved, at) + whole


def rows(values: NDArray[Any], *, padded: bool = True) -> bytes:
    """Pack an array of height by width (by bytes a pixel), from the bottom up; without the last padding on demand."""
    found = [row.tobytes() for row in values[::-1]]
    whole = b"".join(row + bytes(-len(row) % 4) for row in found)
    return whole if padded else whole[: len(whole) - -len(found[-1]) % 4]


def masked(values: NDArray[Any], masks: Sequence[int], dtype: str) -> NDArray[Any]:
    """Put channels of 8 bits into the bits of masks; of fewer bits the highest are kept, of more all are used."""
    pixels = np.zeros(values.shape[:2], dtype=np.uint64)
    for channel, mask in zip(np.moveaxis(values, 2, 0), masks, strict=True):
        low, bits = (mask & -mask).bit_length() - 1, mask.bit_count()
        scaled = np.rint(channel.astype(np.float64) * ((1 << bits) - 1) / 255).astype(np.uint64)
        pixels |= scaled << np.uint64(low)
    return pixels.astype(dtype)


def runs(codes: Iterable[tuple[int, ...]]) -> bytes:
    return b"".join(map(bytes, codes))

"""JPEGs of components that are sampled in any way, each in a scan of its own (ITU-T T.81, A.2.2)."""

from __future__ import annotations

import struct
from math import ceil
from typing import TYPE_CHECKING

from support.pictures import images
from support.pictures.containers import jpeg_segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_FRAME, _SCAN, _TABLES = 0xC0, 0xDA, (0xDB, 0xC4)


def planar_jpeg(planes: Sequence[Image.Image], factors: Sequence[tuple[int, int]]) -> bytes:
    """Write a JPEG of grey pictures of one size, with the sampling factors of each, across and down.

    A scan of one component is coded as a grey picture is.
    """
    width, height = planes[0].size
    most = max(across for across, _ in factors), max(down for _, down in factors)
    frame, scans, tables = b"", b"", b""
    for number, (plane, (across, down)) in enumerate(zip(planes, factors, strict=True), 1):
        size = ceil(width * across / most[0]), ceil(height * down / most[1])
        segments = list(jpeg_segments(images.jpeg(plane.resize(size), quality=95)))
        tables = b"".join(_segment(marker, body) for marker, body in segments if marker in _TABLES)
        frame += bytes([number, across << 4 | down, 0])
        data = next(body for marker, body in segments if marker == _SCAN)[6:]
        scans += _segment(_SCAN, bytes([1, number, 0, 0, 63, 0])) + data
    header = struct.pack(">BHHB", 8, height, width, len(planes)) + frame
    return b"\xff\xd8" + tables + _segment(_FRAME, header) + scans + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

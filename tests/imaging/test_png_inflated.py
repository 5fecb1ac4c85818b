from __future__ import annotations

import struct
import zlib
from random import Random
from typing import TYPE_CHECKING

import deflate
import pytest

from support.pictures import images
from thumbq.core.preset import THUMBNAIL
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.admission import ImageBudget
from thumbq.imaging.formats.png.inflated import inflated
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.geometry import target
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = (300, 200)
KINDS = [(1, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (8, 3, 1), (8, 4, 2), (16, 6, 4)]


def png(data: bytes, *, bits: int = 8, colour: int = 2, interlaced: bool = False) -> bytes:
    """Make a PNG around compressed rows, in chunks of 1,000 bytes."""
    header = struct.pack(">IIBBBBB", *SIZE, bits, colour, 0, 0, interlaced)
    pieces = [(b"IDAT", data[start : start + 1000]) for start in range(0, len(data), 1000)]
    palette = [(b"PLTE", bytes(range(256)) * 3)] if colour == 3 else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [(b"IHDR", header), *palette, *pieces, (b"IEND", b"")]
    )


def rows(bits: int = 8, samples: int = 3, *, interlaced: bool = False) -> bytes:
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    random, made = Random(3), bytearray()
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        width, height = len(range(left, SIZE[0], across)), len(range(top, SIZE[1], down))
        for row in range(height):
            made += bytes([row % 5]) + random.randbytes(-(-width * bits * samples // 8))
    return bytes(made)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List what is inflated at once."""
    asked, decompress = list[int](), deflate.zlib_decompress

    def counted(data: bytes, size: int) -> bytearray:
        asked.append(size)
        return decompress(data, size)

    monkeypatch.setattr(deflate, "zlib_decompress", counted)
    return asked


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("bits", "colour", "samples"), KINDS)
def test_inflated_at_once_every_kind_is_the_same_picture(
    bits: int, colour: int, samples: int, sizes: list[int], *, interlaced: bool
) -> None:
    data = rows(bits, samples, interlaced=interlaced)
    file = png(zlib.compress(data), bits=bits, colour=colour, interlaced=interlaced)
    quick = render(file, [THUMBNAIL], Limits())
    assert sizes == [len(data)]
    assert quick == render(file, [THUMBNAIL], Limits(max_memory_bytes=least_bytes(file)))
    assert sizes == [len(data)]
    assert not isinstance(quick, Refusal)


def least_bytes(file: bytes) -> int:
    """Return the limit that leaves no room beside what a render is predicted to take."""
    targets = [target(size, THUMBNAIL) for size in (SIZE, SIZE[::-1])]
    return ImageBudget(read_header(file), Limits()).cost(targets, [THUMBNAIL] * 2).memory_bytes


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:-20],
        lambda data: data[:50] + bytes(20) + data[70:],
        lambda _: zlib.compress(rows()[:-1]),
        lambda _: zlib.compress(rows() + b"\0"),
        lambda _: zlib.compress(bytes(100 << 20), 1),
        lambda _: b"",
    ],
)
def test_what_is_damaged_or_has_another_size_is_left_to_zlib(
    damaged: Callable[[bytes], bytes], sizes: list[int]
) -> None:
    data = damaged(zlib.compress(rows()))
    file = png(data)
    header = read_header(file) if data else read_header(png(b"\0"))
    assert inflated(file, header) is None
    assert sizes == [len(rows())]


def test_pixels_that_are_cut_are_left_to_zlib(sizes: list[int]) -> None:
    file = images.encoded(images.scene(300, 200), "PNG")[:-400]
    assert inflated(file, read_header(file)) is None
    assert sizes == []

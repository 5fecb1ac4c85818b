from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image

from support.pictures import images
from thumbq.core.preset import THUMBNAIL
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.png.rows import _MARKS
from thumbq.imaging.render import render

SIZE = (61, 43)


def png(rows: bytes, *, bits: int, colour: int, interlaced: bool = False) -> bytes:
    """Make a PNG around unpacked rows, which may be too few."""
    header = struct.pack(">IIBBBBB", *SIZE, bits, colour, 0, 0, interlaced)
    chunks = (b"IHDR", header), (b"PLTE", bytes(768)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
        if kind != b"PLTE" or colour == 3
    )


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("bits", "colour", "samples"), [(1, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (8, 3, 1), (8, 4, 2), (16, 6, 4)]
)
def test_a_png_that_lacks_rows_is_truncated_and_a_whole_one_is_not(
    bits: int, colour: int, samples: int, *, interlaced: bool
) -> None:
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = bytearray()
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        width, height = len(range(left, SIZE[0], across)), len(range(top, SIZE[1], down))
        rows += (b"\0" + bytes((width * bits * samples + 7) // 8)) * height
    last = 1 + (SIZE[0] * bits * samples + 7) // 8
    short = render(png(bytes(rows[:-last]), bits=bits, colour=colour, interlaced=interlaced), [THUMBNAIL], Limits())
    whole = render(png(bytes(rows), bits=bits, colour=colour, interlaced=interlaced), [THUMBNAIL], Limits())
    assert isinstance(short, Refusal)
    assert short.code == "truncated"
    assert not isinstance(whole, Refusal), whole


@pytest.mark.parametrize("mode", [mode for mode in _MARKS if mode != "I"])
def test_a_picture_whose_last_rows_have_the_very_colour_of_the_mark_is_whole(mode: str) -> None:
    image = Image.new(mode, (40, 30), _MARKS[mode])
    if mode == "P":
        image.putpalette(bytes(768))
    assert not isinstance(render(images.encoded(image, "PNG"), [THUMBNAIL], Limits()), Refusal)


def test_texts_are_not_unpacked_and_their_checksums_are_nobodys_business() -> None:
    whole = images.encoded(images.scene(60, 40), "PNG")
    text = b"comment\0\0" + zlib.compress(bytes(100 << 20), 1)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + b"????"
    assert not isinstance(render(whole[:33] + chunk + whole[33:], [THUMBNAIL], Limits()), Refusal)

"""The frames of a GIF (CompuServe, GIF89a), as browsers show them.

Where the standard is silent, or not followed: the canvas is transparent at first, disposal 2 clears to
transparent and not to the background colour, a frame with a delay of 1/100 s or less is shown for 1/10 s. The
first frame makes the canvas larger where it reaches over it; later frames are clipped.
"""

from __future__ import annotations

import struct
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

from PIL import Image

from thumbq.imaging.canvas import Animation, Disposal, Frame
from thumbq.imaging.formats.gif import blocks
from thumbq.imaging.splicedfile import spliced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_SCREEN: Final = struct.Struct("<6sHHBBB")
_SCREEN_FLAGS_AT: Final = 10
_CONTROL: Final = b"\x21\xf9\x04\x01\0\0%c\0"
_END: Final = b"\0;"

_DISPOSALS: Final = {2: Disposal.CLEAR, 3: Disposal.RESTORE, 4: Disposal.RESTORE}
"""Old programs write the third bit alone for what the standard calls 3."""

_TOO_SHORT_MS: Final = 10
_SHOWN_MS: Final = 100

_LOOPING: Final = (b"\xff\x0bNETSCAPE2.0", b"\xff\x0bANIMEXTS1.0")
_LOOPING_SIZE: Final = 13
_LOOP_COUNT: Final = 1
_LOOP_SIZE: Final = 3

_MANY_STEPS: Final = 2_000_000


def animation(original: Original, header: Header) -> Animation:
    """Return a GIF's frames. Raises RenderRefused where the file ends in the middle of one."""
    pictures = islice(blocks.pictures(original, steps=_MANY_STEPS), header.frames)
    frames = tuple(_frame(original, picture) for picture in pictures)
    return Animation("RGBA", (header.width, header.height), _plays(original), frames)


def first_file(original: Original) -> IO[bytes]:
    """Return a GIF of the first frame alone, in its place on the canvas.

    From the whole file Pillow takes other blocks than browsers do when there is an extension without data.
    """
    first = _first(original)
    return _file(original, first, first.box, blocks.canvas(original, first))


def first_frame_with_gap(original: Original) -> Frame | None:
    """Return a GIF's first frame if it leaves a part of the canvas open and has no transparent colour, else None.

    Pillow would put the colour of index 0 there.
    """
    first = _first(original)
    return _frame(original, first) if blocks.leaves_open(original, first) else None


def _first(original: Original) -> blocks.Picture:
    return next(blocks.pictures(original, steps=_MANY_STEPS))


def _frame(original: Original, picture: blocks.Picture) -> Frame:
    delay_ms = 10 * picture.control.delay
    return Frame(
        picture.box,
        partial(_load, original, picture),
        delay_ms if delay_ms > _TOO_SHORT_MS else _SHOWN_MS,
        _DISPOSALS.get(picture.control.flags >> 2 & 7, Disposal.KEEP),
    )


def _load(original: Original, picture: blocks.Picture) -> Image.Image:
    """Decode a frame by itself: as the only one of a GIF of its size."""
    left, top, right, bottom = picture.box
    size = right - left, bottom - top
    image = Image.open(_file(original, picture, (0, 0, *size), size), formats=["GIF"])
    image.load()
    return image


def _file(
    original: Original, picture: blocks.Picture, box: tuple[int, int, int, int], size: tuple[int, int]
) -> IO[bytes]:
    """Return a GIF that has this one picture, in a place on a canvas."""
    left, top, right, bottom = box
    shared = 0 if blocks.table_size(picture.flags) else original[_SCREEN_FLAGS_AT]
    descriptor = blocks.DESCRIPTOR.pack(left, top, right - left, bottom - top, picture.flags)
    parts: list[bytes | slice] = [
        _SCREEN.pack(b"GIF89a", *size, shared, 0, 0),
        slice(blocks.SCREEN_END, blocks.SCREEN_END + blocks.table_size(shared)),
        _CONTROL % picture.control.clear if picture.is_clear else b"",
        b"," + descriptor,
        slice(picture.table_at, picture.end),
        _END,
    ]
    return spliced(original, parts)


def _plays(original: Original) -> int:
    """Return how often a GIF is played (0: for ever): once and as often again as Netscape's extension says."""
    plays = 1
    for block in blocks.blocks(original, steps=_MANY_STEPS):
        if block.kind != blocks.EXTENSION or original[block.at : block.at + _LOOPING_SIZE] not in _LOOPING:
            continue
        for data in _sub_blocks(original, block.at + _LOOPING_SIZE, block.end):
            if len(data) >= _LOOP_SIZE and data[0] & 7 == _LOOP_COUNT:
                repeats = int.from_bytes(data[1:3], "little")
                plays = repeats + 1 if repeats else 0
    return plays


def _sub_blocks(original: Original, at: int, end: int) -> Iterator[bytes]:
    while at < end and (length := original[at]):
        yield original[at + 1 : at + 1 + length]
        at += 1 + length

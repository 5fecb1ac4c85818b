"""The frames of a GIF (CompuServe, GIF89a), as browsers show them.

Where the standard says nothing, or nobody keeps it: the canvas is transparent at first, disposal 2 clears to
transparent and not to the background colour, a frame that is to be shown for 1/100 s or less is shown for 1/10 s. The
first frame makes the canvas larger where it reaches over it; later frames are clipped.
"""

from __future__ import annotations

import io
import struct
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from PIL import Image

from thumbq.imaging.frames.canvas import Disposal, Frame, Reel
from thumbq.imaging.header import gif

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
_NOTHING_SAID: Final = gif.Control(0, 0, 0)

_LOOPING: Final = (b"\xff\x0bNETSCAPE2.0", b"\xff\x0bANIMEXTS1.0")
_LOOPING_SIZE: Final = 13
_LOOP_COUNT: Final = 1
_LOOP_SIZE: Final = 3

_MANY_STEPS: Final = 2_000_000


def reel(original: Original, header: Header) -> Reel:
    """Return a GIF's frames. Raises RenderRefused where the file ends in the middle of one."""
    frames = tuple(islice(_frames(original), header.frames))
    return Reel("RGBA", (header.width, header.height), _plays(original), frames)


def first_with_nothing_around(original: Original, header: Header) -> Frame | None:
    """Return a GIF's first frame if it leaves a part of the canvas open and has no transparent colour, else None.

    Of any other GIF Pillow's picture is the first frame as it should be; around this one it puts the colour of index 0.
    """
    frame = next(_frames(original))
    left, top, right, bottom = frame.box
    nothing_there = left >= right or top >= bottom
    open_around = frame.box != (0, 0, header.width, header.height)
    return frame if nothing_there or (open_around and header.channels == 1) else None


def _frames(original: Original) -> Iterator[Frame]:
    said = _NOTHING_SAID
    for block in gif.blocks(original, steps=_MANY_STEPS):
        if block.kind == gif.EXTENSION:
            said = gif.control(original, block) or said
            continue
        left, top, width, height, _ = gif.DESCRIPTOR.unpack_from(original, block.at)
        delay_ms = 10 * said.delay
        yield Frame(
            (left, top, left + width, top + height),
            partial(_load, original, block, said),
            delay_ms if delay_ms > _TOO_SHORT_MS else _SHOWN_MS,
            _DISPOSALS.get(said.flags >> 2 & 7, Disposal.KEEP),
        )
        said = _NOTHING_SAID


def _load(original: Original, block: gif.Block, said: gif.Control) -> Image.Image:
    """Decode a frame by itself: as the only one of a GIF of its size."""
    _, _, width, height, flags = gif.DESCRIPTOR.unpack_from(original, block.at)
    data_at = block.at + gif.DESCRIPTOR.size
    shared = 0 if gif.table_size(flags) else original[_SCREEN_FLAGS_AT]
    file = io.BytesIO()
    file.write(_SCREEN.pack(b"GIF89a", width, height, shared, 0, 0))
    file.write(original[gif.SCREEN_END : gif.SCREEN_END + gif.table_size(shared)])
    if said.flags & gif.HAS_CLEAR:
        file.write(_CONTROL % said.clear)
    file.write(b"," + gif.DESCRIPTOR.pack(0, 0, width, height, flags))
    file.write(original[data_at : block.end])
    file.write(_END)
    file.seek(0)
    image = Image.open(file, formats=["GIF"])
    image.load()
    return image


def _plays(original: Original) -> int:
    """Return how often a GIF is played (0: for ever): once and as often again as Netscape's extension says."""
    plays = 1
    for block in gif.blocks(original, steps=_MANY_STEPS):
        if block.kind != gif.EXTENSION or original[block.at : block.at + _LOOPING_SIZE] not in _LOOPING:
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

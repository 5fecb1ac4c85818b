"""GIF (CompuServe, GIF89a): its blocks, and the canvas that its frames really need."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header.facts import MOST_FRAMES, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

PICTURE: Final = 0x2C
EXTENSION: Final = 0x21
HAS_CLEAR: Final = 1
"""The flag of a graphic control that tells of a transparent colour."""

DESCRIPTOR: Final = struct.Struct("<HHHHB")
"""A picture's left, top, width, height and flags."""

SCREEN_END: Final = 13
"""Where the header and the logical screen's descriptor end."""

_CONTROL: Final = struct.Struct("<BHB")
_CONTROL_START: Final = b"\xf9\x04"
_SCREEN: Final = struct.Struct("<HHB")
_SCREEN_AT: Final = 6
_HAS_TABLE: Final = 0x80
_TRAILER: Final = 0x3B
_BLOCK: Final = re.compile(rb"[\x21\x2c\x3b]")
_MOST_JUNK: Final = 1 << 16
_FULL: Final = 256
"""A sub-block of 255 bytes, with its length."""

_RUN: Final = 512
_FEW_STEPS: Final = 60_000


class Control(NamedTuple):
    """What a graphic control says: flags, the delay in 1/100 s, the index of the transparent colour."""

    flags: int
    delay: int
    clear: int


class Block(NamedTuple):
    """A picture (its descriptor, table and data) or an extension (its label and data): what it is, and where."""

    kind: int
    at: int
    end: int


def read(original: Original) -> Header:
    """Read a GIF's blocks. As in browsers the first frame makes the canvas larger where it reaches over it.

    Later frames do not; ``animated_size`` tells of those that are themselves larger than the canvas.
    """
    width = height = frames = 0
    clear = False
    needed = (0, 0)
    for block in blocks(original):
        if block.kind == EXTENSION:
            said = control(original, block)
            clear = clear if frames or said is None else bool(said.flags & HAS_CLEAR)
            continue
        if not frames:
            needed = width, height = canvas(original, block)
        _, _, frame_width, frame_height, _ = DESCRIPTOR.unpack_from(original, block.at)
        needed = max(needed[0], frame_width), max(needed[1], frame_height)
        frames += 1
        if frames == MOST_FRAMES:
            break
    if not (width and height):
        raise RenderRefused("corrupt", "the GIF has no picture")
    return Header(
        ImageFormat.GIF,
        width,
        height,
        channels=1 + clear,
        palette=True,
        frames=frames,
        animated_size=needed if needed != (width, height) else None,
    )


def canvas(original: Original, first: Block) -> tuple[int, int]:
    """Return width and height of the logical screen, or more where the first picture needs more."""
    width, height, _ = _SCREEN.unpack_from(original, _SCREEN_AT)
    left, top, frame_width, frame_height, _ = DESCRIPTOR.unpack_from(original, first.at)
    return max(width, left + frame_width), max(height, top + frame_height)


def control(original: Original, extension: Block) -> Control | None:
    """Return what an extension says if it is a graphic control."""
    body = extension.at + len(_CONTROL_START)
    if original[extension.at : body] != _CONTROL_START or body + _CONTROL.size > len(original):
        return None
    return Control(*_CONTROL.unpack_from(original, body))


def table_size(flags: int) -> int:
    """Return the size in bytes of the colour table that the flags of a screen or a picture tell of."""
    return 3 << ((flags & 7) + 1) if flags & _HAS_TABLE else 0


def blocks(original: Original, *, steps: int = _FEW_STEPS) -> Iterator[Block]:
    """Yield pictures and extensions in their order. Raises RenderRefused where the file ends in one of them.

    ``steps`` (0.3 µs each) are taken at most: what lies behind that does not count.
    """
    if len(original) < SCREEN_END:
        raise _truncated()
    at = SCREEN_END + table_size(original[SCREEN_END - 3])
    while steps > 0:
        found = _BLOCK.search(original, at, at + _MOST_JUNK)
        if found is None or found[0][0] == _TRAILER:
            return
        kind, start = found[0][0], found.end()
        at = start + 1
        if kind == PICTURE:
            if start + DESCRIPTOR.size > len(original):
                raise _truncated()
            at += DESCRIPTOR.size + table_size(original[start + DESCRIPTOR.size - 1])
        at, steps = _after_sub_blocks(original, at, steps)
        yield Block(kind, start, at)


def _after_sub_blocks(original: Original, at: int, steps: int) -> tuple[int, int]:
    """Return where the data that begins here ends, and how many steps are left."""
    while steps > 0:
        steps -= 1
        if at >= len(original):
            break
        length = original[at]
        at += 1 + length
        if not length:
            break
        if length == _FULL - 1:
            lengths = original[at : at + _RUN * _FULL : _FULL]
            at += _FULL * (len(lengths) - len(lengths.lstrip(b"\xff")))
    if at > len(original):
        raise _truncated()
    return at, steps


def _truncated() -> RenderRefused:
    return RenderRefused("truncated", "the GIF ends in the middle of its data")

"""GIF (CompuServe, GIF89a): the canvas that its frames really need."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header.facts import MOST_FRAMES, Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_SCREEN: Final = struct.Struct("<HHB")
_FRAME: Final = struct.Struct("<HHHHB")
_SCREEN_AT, _SCREEN_END = 6, 13
_HAS_TABLE: Final = 0x80
_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL: Final = 0xF9
_BLOCK: Final = re.compile(rb"[\x21\x2c\x3b]")
_MOST_JUNK: Final = 1 << 16
_FULL: Final = 256
"""A sub-block of 255 bytes, with its length."""

_RUN: Final = 512
_MOST_STEPS: Final = 60_000


@dataclass
class _Found:
    """What the walk has come across: the canvas up to here, that of the first frame, and the frames."""

    width: int
    height: int
    first: tuple[int, int] = (0, 0)
    frames: int = 0
    clear: bool = False


def read(original: Original) -> Header:
    """Read a GIF's blocks. As Pillow does, a frame that reaches over the canvas makes it larger."""
    if len(original) < _SCREEN_END:
        raise _truncated()
    width, height, flags = _SCREEN.unpack_from(original, _SCREEN_AT)
    found = _Found(width, height)
    _Walk(original, _SCREEN_END + _table_size(flags)).frames(found)
    if not found.frames or not all(found.first):
        raise RenderRefused("corrupt", "the GIF has no picture")
    grown = (found.width, found.height)
    return Header(
        ImageFormat.GIF,
        *found.first,
        channels=1 + found.clear,
        palette=True,
        frames=found.frames,
        animated_size=grown if grown != found.first else None,
    )


class _Walk:
    """A way through the blocks, with a bound on its steps: what lies behind that is not counted."""

    def __init__(self, original: Original, at: int) -> None:
        self._original = original
        self._at = at
        self._steps = _MOST_STEPS

    def frames(self, found: _Found) -> None:
        """Note every frame."""
        while found.frames < MOST_FRAMES and self._steps > 0:
            block = _BLOCK.search(self._original, self._at, self._at + _MOST_JUNK)
            if block is None or block[0][0] == _TRAILER:
                return
            self._at = block.end()
            if block[0][0] == _EXTENSION:
                self._extension(found)
            else:
                self._picture(found)

    def _extension(self, found: _Found) -> None:
        start = self._original[self._at : self._at + 3]
        if not found.frames and len(start) == 3 and start[0] == _GRAPHIC_CONTROL:  # noqa: PLR2004 -- the slice above
            found.clear = bool(start[2] & 1)
        self._at += 1
        self._pass_sub_blocks()

    def _picture(self, found: _Found) -> None:
        descriptor = self._original[self._at : self._at + _FRAME.size]
        if len(descriptor) < _FRAME.size:
            raise _truncated()
        left, top, width, height, flags = _FRAME.unpack(descriptor)
        found.width, found.height = max(found.width, left + width), max(found.height, top + height)
        found.frames += 1
        if found.frames == 1:
            found.first = found.width, found.height
        self._at += _FRAME.size + _table_size(flags) + 1
        self._pass_sub_blocks()

    def _pass_sub_blocks(self) -> None:
        original, at = self._original, self._at
        while self._steps > 0:
            self._steps -= 1
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
        self._at = at


def _table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _HAS_TABLE else 0


def _truncated() -> RenderRefused:
    return RenderRefused("truncated", "the GIF ends in the middle of its data")

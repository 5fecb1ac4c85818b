"""The blocks of a GIF (CompuServe, GIF89a), and its pictures with what the file says of each."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

EXTENSION: Final = 0x21
DESCRIPTOR: Final = struct.Struct("<HHHHB")
"""A picture's left, top, width, height and flags."""

SCREEN_END: Final = 13
"""The offset behind the header and the logical screen's descriptor."""

_CONTROL: Final = struct.Struct("<BHB")
_CONTROL_START: Final = b"\xf9\x04"
_SCREEN: Final = struct.Struct("<HHB")
_SCREEN_AT: Final = 6
_HAS_TABLE: Final = 0x80
_HAS_CLEAR: Final = 1
"""The flag of a graphic control for a transparent colour."""

_PICTURE: Final = 0x2C
_TRAILER: Final = 0x3B
_BLOCK: Final = re.compile(rb"[\x21\x2c\x3b]")
_MOST_JUNK: Final = 1 << 16
_FULL: Final = 256
"""A sub-block of 255 bytes, with its length."""

_RUN: Final = 512
_FEW_STEPS: Final = 60_000


class Control(NamedTuple):
    """A graphic control: flags, the delay in 1/100 s, the index of the transparent colour."""

    flags: int
    delay: int
    clear: int


_NO_CONTROL: Final = Control(0, 0, 0)


class Picture(NamedTuple):
    """A picture: left, top, right and bottom, flags, its graphic control, and where its table and data are."""

    box: tuple[int, int, int, int]
    flags: int
    control: Control
    table_at: int
    end: int

    @property
    def is_clear(self) -> bool:
        """Whether it has a transparent colour."""
        return bool(self.control.flags & _HAS_CLEAR)


class Block(NamedTuple):
    """A picture (its descriptor, table and data) or an extension (its label and data): what it is, and where."""

    kind: int
    at: int
    end: int


def canvas(original: Original, first: Picture) -> tuple[int, int]:
    """Return width and height of the logical screen, or more where the first picture needs more."""
    width, height, _ = _SCREEN.unpack_from(original, _SCREEN_AT)
    return max(width, first.box[2]), max(height, first.box[3])


def leaves_open(original: Original, first: Picture) -> bool:
    """Return whether the first picture has no pixels, or neither covers the canvas nor has a transparent colour."""
    left, top, right, bottom = first.box
    return left == right or top == bottom or (not first.is_clear and first.box != (0, 0, *canvas(original, first)))


def pictures(original: Original, *, steps: int = _FEW_STEPS) -> Iterator[Picture]:
    """Yield the pictures, each with its graphic control. Errors and ``steps`` are those of ``blocks``."""
    current = _NO_CONTROL
    for block in blocks(original, steps=steps):
        if block.kind == EXTENSION:
            current = control(original, block) or current
            continue
        left, top, width, height, flags = DESCRIPTOR.unpack_from(original, block.at)
        table_at = block.at + DESCRIPTOR.size
        yield Picture((left, top, left + width, top + height), flags, current, table_at, block.end)
        current = _NO_CONTROL


def control(original: Original, extension: Block) -> Control | None:
    """Return an extension as a graphic control, None if it is another."""
    body = extension.at + len(_CONTROL_START)
    if original[extension.at : body] != _CONTROL_START or body + _CONTROL.size > len(original):
        return None
    return Control(*_CONTROL.unpack_from(original, body))


def table_size(flags: int) -> int:
    """Return the size in bytes of the colour table by the flags of a screen or a picture."""
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
        if kind == _PICTURE:
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

"""The boxes of an ISO base media file (ISO/IEC 14496-12, 4.2), which AVIF and HEIC are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

_HEADER: Final = struct.Struct(">I4s")
_LONG: Final = struct.Struct(">Q")
_MOST_BOXES: Final = 8_000


class Box(NamedTuple):
    """A box's type, and where its contents begin and end."""

    kind: bytes
    at: int
    end: int


def boxes(original: Original, at: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets. Raises RenderRefused: truncated when one ends beyond the file."""
    for _ in range(_MOST_BOXES):
        if at + _HEADER.size > end:
            return
        size, kind = _HEADER.unpack_from(original, at)
        body = at + _HEADER.size
        if size == 1 and body + _LONG.size <= end:
            (size,) = _LONG.unpack_from(original, body)
            body += _LONG.size
        after = at + size if size else end
        if after > len(original):
            raise RenderRefused("truncated", "the file is shorter than its boxes say")
        if not body <= after <= end:
            raise damaged()
        yield Box(kind, body, after)
        at = after
    raise damaged()


def number(original: Original, at: int, size: int) -> int:
    """Read an unsigned number; what lies beyond the end of the file counts as 0."""
    return int.from_bytes(original[at : at + size], "big")


def damaged() -> RenderRefused:
    """Return the refusal of a file with damaged boxes."""
    return RenderRefused("corrupt", "the boxes of the file are damaged")

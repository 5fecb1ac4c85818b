"""The chunks of a PNG (W3C PNG, third edition, 5.3)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

FIRST_CHUNK: Final = 8
"""The offset of the first chunk, behind the signature."""

_CHUNK: Final = struct.Struct(">I4s")
_FRAME: Final = struct.Struct(">IIII")
CHUNK_OVERHEAD: Final = 12
"""Bytes of a chunk's length, type and checksum."""

_MOST_CHUNKS: Final = 50_000


class Chunk(NamedTuple):
    """A chunk's type, and where its data begins and ends."""

    kind: bytes
    at: int
    end: int


def frame_box(original: Original, control: Chunk) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what an fcTL chunk announces; too short a chunk announces nothing."""
    width, height, left, top = _FRAME.unpack(
        original[control.at + 4 : min(control.at + 20, control.end)].ljust(16, b"\0")
    )
    return left, top, left + width, top + height


def chunks(original: Original) -> Iterator[Chunk]:
    """Yield the chunks up to the end chunk; raises RenderRefused where there is none."""
    at = FIRST_CHUNK
    for _ in range(_MOST_CHUNKS):
        if at + CHUNK_OVERHEAD > len(original):
            raise truncated()
        length, kind = _CHUNK.unpack_from(original, at)
        yield Chunk(kind, at + 8, at + 8 + length)
        if kind == b"IEND":
            return
        at += CHUNK_OVERHEAD + length
    raise RenderRefused("corrupt", f"the PNG has more than {_MOST_CHUNKS} chunks")


def truncated() -> RenderRefused:
    """Return the refusal of a PNG that stops short."""
    return RenderRefused("truncated", "the PNG ends in the middle of its data")

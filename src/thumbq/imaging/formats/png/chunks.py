"""The chunks of a PNG (W3C PNG, third edition, 5.3)."""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

FIRST_CHUNK: Final = 8
"""The offset of the first chunk, behind the signature."""

CHUNK_START: Final = struct.Struct(">I4s")
_FRAME: Final = struct.Struct(">IIII")
CHUNK_OVERHEAD: Final = 12
"""Bytes of a chunk's length, type and checksum."""

HEADER_BYTES: Final = 13
BEHIND_HEADER: Final = FIRST_CHUNK + CHUNK_OVERHEAD + HEADER_BYTES

_MOST_CHUNKS: Final = 50_000
_MOST_SEARCHES: Final = 16
_FARTHEST_SEARCH: Final = 1 << 20

_TYPE: Final = re.compile(rb"[A-Za-z]{4}")
_KNOWN_TYPE: Final = re.compile(
    rb"PLTE|I(?:DAT|END)|acTL|bKGD|c(?:HRM|ICP|LLI)|eXIf|f(?:cTL|dAT)|gAMA|hIST|i(?:CCP|TXt)|mDCV|pHYs"
    rb"|s(?:BIT|PLT|RGB)|t(?:EXt|IME|RNS)|zTXt"
)
_ANCILLARY: Final = 0x20


class Chunk(NamedTuple):
    """A chunk's type, and where its data begins and ends; of pixels that are not ``whole`` the end is the file's."""

    kind: bytes
    at: int
    end: int
    whole: bool

    @property
    def ancillary(self) -> bool:
        """Whether a picture can do without it (5.4)."""
        return bool(self.kind[0] & _ANCILLARY)

    def fits_checksum(self, original: Original) -> bool:
        """Return whether it is what its checksum says."""
        if not self.whole:
            return False
        checksum = zlib.crc32(original[self.at : self.end], zlib.crc32(self.kind))
        return checksum == int.from_bytes(original[self.end : self.end + 4], "big")


def frame_box(original: Original, control: Chunk) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what an fcTL chunk announces."""
    width, height, left, top = _FRAME.unpack_from(original, control.at + 4)
    return left, top, left + width, top + height


def chunks(original: Original) -> Iterator[Chunk]:
    """Yield the chunks up to the end chunk, or to the file's end.

    A chunk whose length is wrong is followed by the next one that is known and fits its checksum: nothing but that
    chunk is lost.
    """
    at, before, searches = FIRST_CHUNK, FIRST_CHUNK, 0
    for _ in range(_MOST_CHUNKS):
        chunk = _at(original, at)
        if chunk is None:
            searches += 1
            chunk = _found(original, before + CHUNK_START.size) if searches <= _MOST_SEARCHES else None
        if chunk is None:
            return
        yield chunk
        if chunk.kind == b"IEND" or not chunk.whole:
            return
        before, at = chunk.at, chunk.end + 4
    raise RenderRefused("corrupt", f"the PNG has more than {_MOST_CHUNKS} chunks")


def _at(original: Original, at: int) -> Chunk | None:
    """Return the chunk at an offset; None where none begins, or one that is no part of the picture is cut."""
    if at + CHUNK_START.size > len(original):
        return None
    length, kind = CHUNK_START.unpack_from(original, at)
    start, end = at + CHUNK_START.size, at + CHUNK_START.size + length
    if not _TYPE.fullmatch(kind):
        return None
    if end + 4 <= len(original):
        return Chunk(kind, start, end, whole=True)
    if kind == b"IEND":
        return Chunk(kind, start, start, whole=True)
    return Chunk(kind, start, min(end, len(original)), whole=False) if kind == b"IDAT" else None


def _found(original: Original, start: int) -> Chunk | None:
    """Return the first known chunk that fits its checksum, not too far behind an offset."""
    candidates = _KNOWN_TYPE.finditer(original, start, start + _FARTHEST_SEARCH)
    for _, candidate in zip(range(_MOST_SEARCHES), candidates, strict=False):
        chunk = _at(original, candidate.start() - 4)
        if chunk is not None and chunk.fits_checksum(original):
            return chunk
    return None


def truncated() -> RenderRefused:
    """Return the refusal of a PNG that stops short."""
    return RenderRefused("truncated", "the PNG ends in the middle of its data")

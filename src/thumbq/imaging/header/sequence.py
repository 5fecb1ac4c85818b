"""The picture sequence of an AVIF (ISO/IEC 14496-12, 8.3 to 8.7): its canvas and its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import av1, codings
from thumbq.imaging.header.facts import MOST_FRAMES, Header
from thumbq.imaging.header.isomedia import Box, boxes, number

if TYPE_CHECKING:
    from thumbq.imaging import Original

_FULL: Final = 4
_ENTRIES: Final = 8
"""A full box's version and flags, and the number of its entries."""

_PICTURES: Final = b"pict"
_ALPHA: Final = b"auxv"
_SAMPLE_ENTRY: Final = 78
_SIZE_IN_TRACK: Final = (76, 88)
_NOTHING: Final = Box(b"", 0, 0)


def read(original: Original, movie: Box) -> Header:
    """Read the tracks of a movie box. Raises RenderRefused."""
    tracks: dict[bytes, Box] = {}
    for box in boxes(original, movie.at, movie.end):
        if box.kind == b"trak":
            handler = _within(original, box, b"mdia", b"hdlr").at + _ENTRIES
            tracks.setdefault(original[handler : handler + 4], box)
    track = tracks.get(_PICTURES, _NOTHING)
    head = _within(original, track, b"tkhd")
    size_at = head.at + _SIZE_IN_TRACK[number(original, head.at, 1) & 1]
    size = number(original, size_at, 4) >> 16, number(original, size_at + 4, 4) >> 16
    table = _within(original, track, b"mdia", b"minf", b"stbl")
    frames = number(original, _within(original, table, b"stsz").at + _ENTRIES, 4)
    if not (frames and all(size)):
        raise RenderRefused("corrupt", "the file has no pictures in its sequence")
    coding, start = _coding(original, table), _start(original, table)
    return Header(
        ImageFormat.AVIF,
        *size,
        channels=coding.channels + (_ALPHA in tracks),
        bits=coding.bits,
        frames=min(frames, MOST_FRAMES),
        scratch_bytes=coding.plane_bytes(av1.frame_size(original, start), size, alpha=_ALPHA in tracks),
    )


def _coding(original: Original, table: Box) -> codings.Coding:
    description = _within(original, table, b"stsd")
    for entry in boxes(original, description.at + _ENTRIES, description.end):
        return codings.of(original, boxes(original, entry.at + _SAMPLE_ENTRY, entry.end))
    return codings.Coding()


def _start(original: Original, table: Box) -> int:
    """Return the offset of the first frame."""
    chunks = _within(original, table, b"stco")
    if chunks is not _NOTHING:
        return number(original, chunks.at + _ENTRIES, 4)
    return number(original, _within(original, table, b"co64").at + _ENTRIES, 8)


def _within(original: Original, box: Box, *path: bytes) -> Box:
    """Follow a path of types from a box to the first box there; an empty one when there is none."""
    for kind in path:
        box = next((inner for inner in boxes(original, box.at, box.end) if inner.kind == kind), _NOTHING)
    return box

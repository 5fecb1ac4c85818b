"""The picture sequence of an AVIF (ISO/IEC 14496-12, 8.3 to 8.7): its canvas and its frames."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.isomedia import av1, codings
from thumbq.imaging.formats.isomedia.boxes import Box, boxes, number
from thumbq.imaging.formats.isomedia.extents import Extents
from thumbq.imaging.header import MOST_FRAMES, Header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thumbq.imaging import Original

_FULL: Final = 4
_ENTRIES: Final = 8
"""A full box's version and flags, and the number of its entries."""

_PICTURES: Final = b"pict"
_ALPHA: Final = b"auxv"
_SAMPLE_ENTRY: Final = 78
_SIZE_IN_TRACK: Final = (76, 88)
_RUN_SIZE: Final = 12
_MOST_SAMPLES: Final = 1_000
"""More are looked at of no track; fewer are admitted."""

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
    coding = _coding(original, table)
    return Header(
        ImageFormat.AVIF,
        *size,
        channels=coding.channels + (_ALPHA in tracks),
        bits=coding.bits,
        frames=min(frames, MOST_FRAMES),
        scratch_bytes=coding.plane_bytes(size, *_coded_sizes(original, tracks), alpha=_ALPHA in tracks),
    )


def _coded_sizes(original: Original, tracks: Mapping[bytes, Box]) -> Iterator[tuple[int, int]]:
    streams = av1.Streams()
    for kind in tracks.keys() & {_PICTURES, _ALPHA}:
        table = _within(original, tracks[kind], b"mdia", b"minf", b"stbl")
        for place in islice(_samples(original, table), _MOST_SAMPLES):
            yield from (header.size for header in streams.sequence_headers(Extents(original, [place])))


def _coding(original: Original, table: Box) -> codings.Coding:
    description = _within(original, table, b"stsd")
    for entry in boxes(original, description.at + _ENTRIES, description.end):
        return codings.of(original, boxes(original, entry.at + _SAMPLE_ENTRY, entry.end))
    return codings.Coding()


def _samples(original: Original, table: Box) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each frame: of a run of chunks each has as many frames (ISO/IEC 14496-12, 8.7)."""
    sizes, runs = _within(original, table, b"stsz"), _within(original, table, b"stsc")
    chunks, width = _within(original, table, b"stco"), 4
    if chunks is _NOTHING:
        chunks, width = _within(original, table, b"co64"), 8
    of_all, sample, run, in_chunk = (
        number(original, sizes.at + _FULL, 4),
        sizes.at + _ENTRIES + 4,
        runs.at + _ENTRIES,
        0,
    )
    for index, chunk in enumerate(range(chunks.at + _ENTRIES, chunks.end, width), 1):
        if run < runs.end and number(original, run, 4) <= index:
            in_chunk = number(original, run + 4, 4)
            run += _RUN_SIZE
        at = number(original, chunk, width)
        for _ in range(in_chunk):
            if not of_all and sample >= sizes.end:
                return
            size = of_all or number(original, sample, 4)
            yield at, size
            at, sample = at + size, sample + 4


def _within(original: Original, box: Box, *path: bytes) -> Box:
    """Follow a path of types from a box to the first box there; an empty one when there is none."""
    for kind in path:
        box = next((inner for inner in boxes(original, box.at, box.end) if inner.kind == kind), _NOTHING)
    return box

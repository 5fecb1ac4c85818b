"""The number of plays of an AVIF sequence (ISO/IEC 14496-12, 8.6.6; libavif), and its dates.

The edit list of a track covers it once. Where it is marked as repeated, the track lasts as long as all plays do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.errors import RenderRefused
from thumbq.imaging.formats.isomedia.boxes import boxes, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original
    from thumbq.imaging.formats.isomedia.boxes import Box

_INSIDE: Final = {b"": {b"moov"}, b"moov": {b"trak"}, b"trak": {b"edts", b"mdia"}}
_DATED: Final = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_DATES_AT: Final = 4
_DURATION_AT: Final = {b"mvhd": (16, 24), b"tkhd": (20, 28), b"elst": (8, 8)}
"""In boxes of version 0, whose times have 4 bytes, and of version 1, whose times have 8."""

_REPEATED: Final = 1


def plays_of(original: Original) -> int:
    """Return how often a sequence is played; 0: for ever, or the file does not say."""
    lasts = once = 0
    try:
        for box in _boxes(original, 0, len(original)):
            at, size = _duration(original, box)
            if box.kind == b"tkhd":
                lasts = number(original, at, size)
                lasts = 0 if lasts == (1 << 8 * size) - 1 else lasts
            elif box.kind == b"elst":
                once = number(original, at, size)
                return -(-lasts // once) if once and number(original, box.at + 3, 1) & _REPEATED else 1
    except RenderRefused:
        pass  # What libavif can read is played somehow.
    return 0


def with_plays(body: bytes, *, plays: int) -> bytes:
    """Return a sequence by libavif with a number of plays (0: for ever, as it is), and without its dates.

    So the same pixels give the same bytes.
    """
    data = bytearray(body)
    found = list(_boxes(body, 0, len(body)))
    once = max((number(body, *_duration(body, box)) for box in found if box.kind == b"elst"), default=0)
    for box in found:
        at, size = _duration(body, box)
        if box.kind in _DATED:
            data[box.at + _DATES_AT : box.at + _DATES_AT + 2 * size] = bytes(2 * size)
        if plays and once and box.kind in {b"mvhd", b"tkhd"}:
            data[at : at + size] = min(plays * once, (1 << 8 * size) - 2).to_bytes(size, "big")
    return bytes(data)


def _boxes(original: Original, at: int, end: int, within: bytes = b"") -> Iterator[Box]:
    for box in boxes(original, at, end):
        if box.kind in _INSIDE.get(within, ()):
            yield from _boxes(original, box.at, box.end, box.kind)
        elif box.kind in _DATED or box.kind == b"elst":
            yield box


def _duration(original: Original, box: Box) -> tuple[int, int]:
    """Return offset and size of a box's duration, the size being that of all its times."""
    version = number(original, box.at, 1) & 1
    return box.at + _DURATION_AT.get(box.kind, (0, 0))[version], 8 if version else 4

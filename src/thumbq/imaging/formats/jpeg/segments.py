"""The segments of a JPEG (ITU-T T.81, B.1.1), found as libjpeg finds them: junk and fill bytes before are skipped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

START_OF_SCAN: Final = 0xDA
START_OF_IMAGE: Final = 0xD8
END_OF_IMAGE: Final = 0xD9
RESTART_INTERVAL: Final = 0xDD

_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_WITHOUT_PARAMETERS: Final = frozenset({0x01, *range(0xD0, 0xD8), END_OF_IMAGE})
_MOST_SEGMENTS: Final = 5_000
_MOST_JUNK: Final = 1 << 16


class Segment(NamedTuple):
    """A marker's second byte, its offset, and where its parameters (without their length) begin and end."""

    marker: int
    at: int
    body: int
    after: int


class Segments:
    """The segments of one file; their number is bounded over all walks."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._left = _MOST_SEGMENTS

    def walk(self, at: int) -> Iterator[Segment]:
        """Yield the segments from an offset on; the first start of a scan or end marker is the last one.

        Raises RenderRefused where the file ends before that.
        """
        marker = 0
        while marker not in {START_OF_SCAN, END_OF_IMAGE}:
            segment = self._next(at)
            marker, at = segment.marker, segment.after
            yield segment

    def _next(self, at: int) -> Segment:
        self._left -= 1
        found = _MARKER.search(self._original, at, at + _MOST_JUNK)
        if found is None and at + _MOST_JUNK >= len(self._original):
            raise truncated()
        if found is None or self._left < 0:
            raise RenderRefused("corrupt", "the JPEG's header is damaged")
        start, after = found.span()
        marker = self._original[start + 1]
        if marker in _WITHOUT_PARAMETERS:
            return Segment(marker, start, after, after)
        length = max(2, int.from_bytes(self._original[after : after + 2], "big"))
        if after + length > len(self._original):
            raise truncated()
        return Segment(marker, start, after + 2, after + length)


def restart_interval(original: Original, segment: Segment) -> int:
    """Return the units between two restart markers from here on (T.81, B.2.4.4); 0 is none."""
    return int.from_bytes(original[segment.body : min(segment.after, segment.body + 2)], "big")


def truncated() -> RenderRefused:
    """Return the refusal of a JPEG that stops short."""
    return RenderRefused("truncated", "the JPEG ends in the middle of its data")

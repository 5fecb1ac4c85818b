"""The segments of a JPEG's header that its decoder is given.

Pillow keeps every segment, joins those of EXIF anew for each one more, and reads junk between segments byte by byte:
100 MB of it would take 16 s before anything can be refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.jpeg.segments import Segment

_START_OF_IMAGE: Final = (0, 2)
_COMMENT: Final = 0xFE
_APPLICATIONS: Final = range(0xE0, 0xF0)
_EXIF: Final = b"Exif\0\0"
_TAKEN_ONCE: Final = (
    (0xE0, b"JFIF\0", 14),
    (0xE1, _EXIF, 8),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", 29),
)
"""Marker, start, and the least bytes: a shorter one says nothing to libjpeg, and Pillow gives up the picture for it."""

_BYTE_ORDERS: Final = (b"II", b"MM")
_ADOBE: Final = (0xEE, b"Adobe", 12)
_MOST_ADOBE: Final = 8
"""Of several the decoder obeys the last."""

_PROFILE: Final = (0xE2, b"ICC_PROFILE\0", 14)
_LONGEST_START: Final = 32
_MOST_PROFILE_BYTES: Final = 4 << 20
_MOST_TABLE_BYTES: Final = 1 << 20


class KeptSegments:
    """Gathers the ranges of the segments that are kept; those that touch are one."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._ranges = [_START_OF_IMAGE]
        self._taken: set[tuple[int, bytes]] = set()
        self._profile_bytes = self._table_bytes = self._adobes = 0

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each, in their order."""
        return tuple(self._ranges)

    def add(self, segment: Segment) -> None:
        """Keep a segment if a decoder needs it. Raises RenderRefused when there are more tables than any JPEG has."""
        if segment.marker == _COMMENT or (segment.marker in _APPLICATIONS and not self._is_read(segment)):
            return
        if segment.marker not in _APPLICATIONS:
            self._table_bytes += segment.after - segment.at
            if self._table_bytes > _MOST_TABLE_BYTES:
                raise RenderRefused("corrupt", "the JPEG has more tables than there can be")
        start, end = self._ranges[-1]
        if end == segment.at:
            self._ranges[-1] = start, segment.after
        else:
            self._ranges.append((segment.at, segment.after))

    def _is_read(self, segment: Segment) -> bool:
        start_of_data = self._original[segment.body : min(segment.after, segment.body + _LONGEST_START)]
        length = segment.after - segment.body
        if segment.marker == _ADOBE[0] and start_of_data.startswith(_ADOBE[1]) and length >= _ADOBE[2]:
            self._adobes += 1
            return self._adobes <= _MOST_ADOBE
        if start_of_data.startswith(_EXIF) and not start_of_data.startswith(_BYTE_ORDERS, len(_EXIF)):
            return False
        for marker, start, least in _TAKEN_ONCE:
            if segment.marker == marker and start_of_data.startswith(start) and length >= least:
                is_first = (marker, start) not in self._taken
                self._taken.add((marker, start))
                return is_first
        if segment.marker == _PROFILE[0] and start_of_data.startswith(_PROFILE[1]) and length >= _PROFILE[2]:
            self._profile_bytes += segment.after - segment.at
            return self._profile_bytes <= _MOST_PROFILE_BYTES
        return False

"""JPEG (ITU-T T.81): its size, how it is coded, and whether all of its scans are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.jpeg import scans
from thumbq.imaging.formats.jpeg.keptsegments import KeptSegments
from thumbq.imaging.formats.jpeg.segments import START_OF_SCAN, Segment, Segments, truncated
from thumbq.imaging.header import Header, JpegHeader

if TYPE_CHECKING:
    from thumbq.imaging import Original

_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_PROGRESSIVE: Final = 0xC2
# Pillow can neither shrink lossless ones nor read arithmetic ones piece by piece; no browser shows either.
_TAKEN: Final = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_PICTURE_INDEX: Final = 0xE2
_COMPONENT_COUNTS: Final = frozenset({1, 3, 4})
_MOST_SAMPLING: Final = 4
_METADATA_COPIES: Final = 2
"""Pillow keeps each segment, and what it makes of it."""

_LONGEST_FILL: Final = 1 << 15
"""Bytes FF up to twice as many are fill; more are there to make a decoder that reads piece by piece start over."""

_FILL: Final = 0xFF
_MOST_SCANS: Final = 1_000
_MOST_PADDING: Final = 64

# The data of a scan has FF only before a stuffed 00 or as a restart marker.
_END_OF_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_END: Final = re.compile(rb"\xff\xd9")


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    width: int
    height: int
    components: dict[int, tuple[int, int]]

    @property
    def progressive(self) -> bool:
        return self.kind == _PROGRESSIVE


def read(original: Original) -> Header:
    """Read a JPEG's header. Previews in the metadata, and what follows the picture, are passed over."""
    segments, kept = Segments(original), KeptSegments(original)
    frame = None
    several_pictures = False
    for segment in segments.walk(2):
        kept.add(segment)
        if segment.marker in _FRAMES:
            if frame is not None:
                raise RenderRefused("corrupt", "the JPEG says twice how large it is")
            frame = _frame(segment.marker, original[segment.body : segment.after])
        elif segment.marker == _PICTURE_INDEX:
            several_pictures |= original[segment.body : segment.body + 4] == b"MPF\0"
        elif segment.marker == START_OF_SCAN and frame is not None:
            coding = _coding(original, segments, frame, segment, kept, several_pictures=several_pictures)
            if _has_long_fill(original, coding):
                raise RenderRefused("corrupt", "the JPEG has nothing but fill bytes where its picture should be")
            return Header(
                ImageFormat.JPEG,
                frame.width,
                frame.height,
                channels=len(frame.components),
                scratch_bytes=_METADATA_COPIES * sum(end - start for start, end in coding.kept_segments),
                jpeg=coding,
            )
    raise RenderRefused("corrupt", "the JPEG has no picture")


def _frame(kind: int, parameters: bytes) -> _Frame:
    if len(parameters) < 6 or len(parameters) != 6 + 3 * parameters[5]:  # noqa: PLR2004 -- T.81, B.2.2
        raise RenderRefused("corrupt", "the JPEG's header is damaged")
    precision, count = parameters[0], parameters[5]
    if kind not in _TAKEN or precision != 8 or count not in _COMPONENT_COUNTS:  # noqa: PLR2004 -- bits
        raise RenderRefused("unsupported-format", "a JPEG that is lossless, arithmetic or not of 8 bits is not taken")
    height, width = int.from_bytes(parameters[1:3], "big"), int.from_bytes(parameters[3:5], "big")
    components = {
        parameters[at]: (parameters[at + 1] >> 4, parameters[at + 1] & 15) for at in range(6, len(parameters), 3)
    }
    factors = [factor for pair in components.values() for factor in pair]
    if not (width and height and len(components) == count and 0 < min(factors) <= max(factors) <= _MOST_SAMPLING):
        raise RenderRefused("corrupt", "the JPEG's header is damaged")
    return _Frame(kind, width, height, components)


def _coding(
    original: Original, segments: Segments, frame: _Frame, first: Segment, kept: KeptSegments, *, several_pictures: bool
) -> JpegHeader:
    sampling = tuple(frame.components.values())
    scan = scans.parse(original[first.body : first.after], progressive=frame.progressive)
    if frame.progressive or len(scan.components) < len(frame.components):
        count, dc_end, end = _walk_scans(original, segments, frame, first)
        one_pass = False
    else:
        scans.Script(frame.components).add(scan)
        count, dc_end, one_pass = 1, None, True
        end = _end_of_picture(original, first.after, several_pictures=several_pictures)
    return JpegHeader(frame.progressive, count, dc_end, end, first.after, sampling, one_pass, kept.ranges)


def _has_long_fill(original: Original, coding: JpegHeader) -> bool:
    """Return whether FF fills a block of 32 KiB of the scans; one byte of each block is checked first."""
    return any(
        original[at] == _FILL and original[at : at + _LONGEST_FILL].count(_FILL) == _LONGEST_FILL
        for at in range(coding.pixels_at, coding.end - _LONGEST_FILL + 1, _LONGEST_FILL)
    )


def _walk_scans(original: Original, segments: Segments, frame: _Frame, at: Segment) -> tuple[int, int | None, int]:
    """Return the number of scans, ``dc_end``, and the offset of the end marker."""
    script = scans.Script(frame.components)
    count, begins, dc_end, only_dc = 0, at.at, None, frame.progressive
    while at.marker == START_OF_SCAN:
        count += 1
        if count > _MOST_SCANS:
            raise RenderRefused("too-many-scans", f"the JPEG has more than {_MOST_SCANS} scans")
        scan = scans.parse(original[at.body : at.after], progressive=frame.progressive)
        if only_dc and not scan.only_dc:
            only_dc = False
            dc_end = begins if script.has_all_dc else None
        script.add(scan)
        end_of_scan = _END_OF_SCAN.search(original, at.after)
        if end_of_scan is None:
            raise truncated()
        begins = end_of_scan.start()
        *_, at = segments.walk(begins)
    if not script.complete:
        raise RenderRefused("truncated", f"the JPEG ends after {count} scans, and they are not all")
    return count, dc_end, at.at


def _end_of_picture(original: Original, at: int, *, several_pictures: bool) -> int:
    """Return the offset of the end marker: that of the file's end, or where that has none, the first one."""
    if not several_pictures:
        last = original[max(at, len(original) - _MOST_PADDING) :].rstrip(b"\0")
        if last.endswith(b"\xff\xd9"):
            return max(at, len(original) - _MOST_PADDING) + len(last) - 2
    found = _END.search(original, at)
    if found is None:
        raise truncated()
    return found.start()

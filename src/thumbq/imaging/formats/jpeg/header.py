"""JPEG (ITU-T T.81): its size, how it is coded, and whether all of its scans are there."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.jpeg import scans
from thumbq.imaging.formats.jpeg.keptsegments import KeptSegments
from thumbq.imaging.formats.jpeg.segments import (
    RESTART_INTERVAL,
    START_OF_IMAGE,
    START_OF_SCAN,
    Segments,
    restart_interval,
)
from thumbq.imaging.formats.jpeg.stretches import stops
from thumbq.imaging.header import Header, JpegHeader, JpegStage

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.jpeg.segments import Segment

_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_PROGRESSIVE: Final = 0xC2
# Pillow can neither shrink lossless ones nor read arithmetic ones piece by piece; no browser shows either.
_TAKEN: Final = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_COMPONENT_COUNTS: Final = frozenset({1, 3, 4})
_MOST_SAMPLING: Final = 4
_METADATA_COPIES: Final = 2
"""Pillow keeps each segment, and what it makes of it."""

_LONGEST_FILL: Final = 1 << 15
"""Bytes FF up to twice as many are fill; more are there to make a decoder that reads piece by piece start over."""

_FILL: Final = 0xFF
_MOST_SCANS: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame's kind and size; each component's identifier, which others may have too, and sampling factors."""

    kind: int
    width: int
    height: int
    identifiers: tuple[int, ...]
    sampling: tuple[tuple[int, int], ...]

    @property
    def progressive(self) -> bool:
        return self.kind == _PROGRESSIVE

    def indices(self, scan: scans.Scan) -> tuple[int, ...]:
        """Return which components a scan has, as libjpeg finds them. Raises RenderRefused."""
        found: list[int] = []
        for wanted in scan.components:
            free = (at for at, each in enumerate(self.identifiers) if each == wanted and at not in found)
            index = next(free, None)
            if index is None:
                raise RenderRefused("corrupt", "the JPEG has a scan of a component that it does not have")
            found.append(index)
        return tuple(found)

    def units(self, components: tuple[int, ...]) -> int:
        """Return how many units a scan of some components codes (T.81, A.2)."""
        most_across = max(across for across, _ in self.sampling)
        most_down = max(down for _, down in self.sampling)
        if len(components) > 1:
            return ceil(self.width / (8 * most_across)) * ceil(self.height / (8 * most_down))
        across, down = self.sampling[components[0]]
        columns, rows = ceil(self.width * across / most_across), ceil(self.height * down / most_down)
        return ceil(columns / 8) * ceil(rows / 8)


def read(original: Original) -> Header:
    """Read a JPEG's header. Previews in the metadata, and what follows the picture, are passed over."""
    segments, kept = Segments(original), KeptSegments(original)
    frame, interval = None, 0
    for segment in segments.walk(2):
        kept.add(segment)
        if segment.marker in _FRAMES:
            if frame is not None:
                raise RenderRefused("corrupt", "the JPEG says twice how large it is")
            frame = _frame(segment.marker, original[segment.body : segment.after])
        elif segment.marker == RESTART_INTERVAL:
            interval = restart_interval(original, segment)
        elif segment.marker == START_OF_SCAN and frame is not None:
            walk = _Walk(original, segments, frame)
            walk.read_scans(segment, interval)
            coding = walk.coding(segment.after, kept.ranges)
            if _has_long_fill(original, coding):
                raise RenderRefused("corrupt", "the JPEG has nothing but fill bytes where its picture should be")
            return Header(
                ImageFormat.JPEG,
                frame.width,
                frame.height,
                channels=len(frame.sampling),
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
    sampling = tuple((factors >> 4, factors & 15) for factors in parameters[7::3])
    factors = [factor for pair in sampling for factor in pair]
    if not (width and height and 0 < min(factors) <= max(factors) <= _MOST_SAMPLING):
        raise RenderRefused("corrupt", "the JPEG's header is damaged")
    return _Frame(kind, width, height, tuple(parameters[6::3]), sampling)


def _has_long_fill(original: Original, coding: JpegHeader) -> bool:
    """Return whether FF fills a block of 32 KiB of the scans; one byte of each block is checked first."""
    return any(
        original[at] == _FILL and original[at : at + _LONGEST_FILL].count(_FILL) == _LONGEST_FILL
        for at in range(coding.pixels_at, coding.end - _LONGEST_FILL + 1, _LONGEST_FILL)
    )


class _Walk:
    """The way through a JPEG's scans: their number, ``stages`` and ``stops`` as in ``JpegHeader``."""

    def __init__(self, original: Original, segments: Segments, frame: _Frame) -> None:
        self.count = 0
        self.stages: list[JpegStage] = []
        self.one_pass = False
        self.stops: list[int] = []
        self._original = original
        self._segments = segments
        self._frame = frame
        self._script = scans.Script(len(frame.sampling))

    def read_scans(self, first: Segment, interval: int) -> None:
        """Walk through all scans. Raises RenderRefused: too-many-scans, corrupt, truncated."""
        at: Segment | None = first
        while at is not None:
            if self._script.complete and not self._is_scan(at):
                return
            self._read_scan(at, interval)
            if self.one_pass:
                return
            at, interval = self._next_scan(interval)
        if not self._script.complete:
            raise RenderRefused("truncated", f"the JPEG ends after {self.count} scans, and they are not all")

    def coding(self, pixels_at: int, kept_segments: tuple[tuple[int, int], ...]) -> JpegHeader:
        """Return what was found, with what the header before the scans has told."""
        frame = self._frame
        return JpegHeader(
            frame.progressive,
            self.count,
            tuple(self.stages),
            tuple(self.stops),
            pixels_at,
            frame.sampling,
            self.one_pass,
            kept_segments,
        )

    def _read_scan(self, at: Segment, interval: int) -> None:
        self.count += 1
        if self.count > _MOST_SCANS:
            raise RenderRefused("too-many-scans", f"the JPEG has more than {_MOST_SCANS} scans")
        scan = self._scan(at)
        components = self._frame.indices(scan)
        self._script.add(scan, components)
        self.one_pass = not self._frame.progressive and len(components) == len(self._frame.sampling)
        self.stops += stops(self._original, at.after, self._frame.units(components), interval)
        if self._frame.progressive:
            self._add_stage()

    def _add_stage(self) -> None:
        stage = JpegStage(self.stops[-1], self._script.dc_bit, self._script.has_low)
        if stage.dc_bit <= scans.MOST_BITS and (not self.stages or stage[1:] != self.stages[-1][1:]):
            self.stages.append(stage)

    def _next_scan(self, interval: int) -> tuple[Segment | None, int]:
        """Return the start of the next scan, None behind the last one, and the restart interval there."""
        try:
            for segment in self._segments.walk(self.stops[-1]):
                if segment.marker == RESTART_INTERVAL:
                    interval = restart_interval(self._original, segment)
                if segment.marker == START_OF_SCAN:
                    return segment, interval
                if segment.marker == START_OF_IMAGE:  # of another one
                    break
        except RenderRefused:  # what follows a whole picture is none of its business
            if not self._script.complete:
                raise
        return None, interval

    def _scan(self, at: Segment) -> scans.Scan:
        return scans.parse(self._original[at.body : at.after], progressive=self._frame.progressive)

    def _is_scan(self, at: Segment) -> bool:
        try:
            self._frame.indices(self._scan(at))
        except RenderRefused:
            return False
        return True

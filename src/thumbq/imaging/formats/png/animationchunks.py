"""The chunks of an APNG's animation (W3C PNG, third edition, 11.3.6), and whether they are in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.png.chunks import frame_box
from thumbq.imaging.header import MOST_FRAMES

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.png.chunks import Chunk

_CONTROL_BYTES: Final = 26
_SEQUENCE_BYTES: Final = 4
_DISPOSALS, _BLENDS = 3, 2


class AnimationChunks:
    """Gathers them; of the data of later frames only the order is looked at, since ``frames`` decodes it."""

    def __init__(self, original: Original, canvas: tuple[int, int]) -> None:
        self._original = original
        self._canvas = canvas
        self._frames = 0
        self._sequence = 0
        self._in_data = self._is_damaged = self._ended = False
        self._awaits_data = False

    def frames(self, announced: int) -> int:
        """Return how many frames the animation has, 1 where none are announced or it is damaged."""
        cut = not self._ended and self._frames < announced
        if self._is_damaged or self._awaits_data or cut:
            return 1
        return max(1, min(announced, self._frames, MOST_FRAMES))

    def add(self, chunk: Chunk) -> None:
        """Take another chunk of any kind."""
        if chunk.kind == b"IDAT":
            self._in_data = True
            self._awaits_data = False
        elif chunk.kind == b"IEND":
            self._ended = True
        elif chunk.kind == b"fcTL":
            self._is_damaged |= self._awaits_data or not self._is_frame(chunk)
            self._frames += 1
            self._awaits_data = True
        elif chunk.kind == b"fdAT":
            self._is_damaged |= not self._is_frame_data(chunk)
            self._awaits_data = False

    def _is_frame(self, chunk: Chunk) -> bool:
        if chunk.end - chunk.at != _CONTROL_BYTES or not self._is_next(chunk):
            return False
        box = left, top, right, bottom = frame_box(self._original, chunk)
        lies_within = left < right <= self._canvas[0] and top < bottom <= self._canvas[1]
        disposal, blend = self._original[chunk.end - 2 : chunk.end]
        return (
            lies_within
            and (self._in_data or box == (0, 0, *self._canvas))
            and disposal < _DISPOSALS
            and blend < _BLENDS
            and chunk.fits_checksum(self._original)
        )

    def _is_frame_data(self, chunk: Chunk) -> bool:
        begins = self._in_data and self._frames > 0
        return begins and chunk.end - chunk.at >= _SEQUENCE_BYTES and self._is_next(chunk)

    def _is_next(self, chunk: Chunk) -> bool:
        found = int.from_bytes(self._original[chunk.at : chunk.at + _SEQUENCE_BYTES], "big")
        self._sequence += 1
        return found == self._sequence - 1

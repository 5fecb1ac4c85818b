"""The canvas of an animation: each frame on top of the remains of the frames before it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from PIL import Image

from thumbq.imaging import colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BAND_PIXELS: Final = 1 << 18
_WITH_ALPHA: Final = frozenset({"LA", "RGBA"})


class Disposal(Enum):
    """The change of a frame's place on the canvas after the frame has been shown."""

    KEEP = auto()
    CLEAR = auto()
    RESTORE = auto()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it stands in the file.

    ``box`` is left, top, right and bottom of its place, which need not lie on the canvas; ``load`` decodes its pixels.
    ``over`` lays transparent pixels over those of the canvas; else they replace them.
    """

    box: tuple[int, int, int, int]
    load: Callable[[], Image.Image]
    delay_ms: int
    disposal: Disposal
    over: bool = True


class AnimationDamaged(Exception):
    """A frame does not decode, in a format whose standard shows another picture then (APNG)."""


@dataclass(frozen=True, slots=True)
class Animation:
    """An animation before it is composited: mode (LA or RGBA) and size of the canvas, plays (0: endless) and frames."""

    mode: str
    size: tuple[int, int]
    plays: int
    frames: tuple[Frame, ...]


def composited(mode: str, size: tuple[int, int], frames: Iterable[Frame]) -> Iterator[tuple[Image.Image, int]]:
    """Yield the canvas as it is during each frame, and for how many milliseconds.

    It is one and the same image, which goes on to the next frame. Beside it there are the frame's own pixels and what
    a frame that is to be undone has covered. A decoder may raise anything.
    """
    canvas = Image.new(mode, size)
    for frame in frames:
        left, top, right, bottom = frame.box
        box = left, top, min(right, canvas.width), min(bottom, canvas.height)
        seen = box[0] < box[2] and box[1] < box[3]
        covered = canvas.crop(box) if seen and frame.disposal is Disposal.RESTORE else None
        if seen:
            _draw(canvas, box, frame.load(), over=frame.over)
        yield canvas, frame.delay_ms
        if covered is not None:
            canvas.paste(covered, box)
        elif seen and frame.disposal is Disposal.CLEAR:
            canvas.paste((0,) * len(mode), box)


def _draw(canvas: Image.Image, box: tuple[int, int, int, int], pixels: Image.Image, *, over: bool) -> None:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    rows = max(1, _BAND_PIXELS // width)
    for row in range(0, height, rows):
        band = colour.expanded(pixels.crop((0, row, width, min(row + rows, height))))
        place = left, top + row
        if over and band.mode in _WITH_ALPHA:
            canvas.alpha_composite(band.convert(canvas.mode), place)
        else:
            canvas.paste(band.convert(canvas.mode), place)

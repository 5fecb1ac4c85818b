"""Animations that stay animations: their frames one after the other, the time of each, and the number of plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.imaging.canvas import composited
from thumbq.imaging.decoded import next_picture, ready
from thumbq.imaging.formats.registry import INPUT_FORMATS
from thumbq.imaging.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.canvas import Animation
    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.header import Header
    from thumbq.imaging.resize import Picture

_NO_DELAY_MS: Final = 100
"""The time for which browsers show a frame without a delay."""


@dataclass(frozen=True, slots=True)
class Moving:
    """An animation, composited on the canvas: its number of plays, and the sizes of each frame and its milliseconds.

    A frame is decoded when it is asked for. A decoder may raise anything.
    """

    plays: int
    frames: Iterator[tuple[Mapping[Target, Image.Image], int]]


def moving(original: Original, decoded: Decoded, header: Header, targets: Sequence[Target]) -> Moving:
    """Return the frames of an animation in some sizes."""
    input_format = INPUT_FORMATS[header.format]
    if input_format.animation is not None:
        animation = input_format.animation(original, header)
        plays, pictures = animation.plays, _composited(decoded, animation)
    else:
        plays, pictures = input_format.plays(decoded.image, original), _decoded(decoded, header)
    return Moving(plays, _in_sizes(decoded, pictures, targets))


def _in_sizes(
    decoded: Decoded, pictures: Iterator[tuple[Picture, int]], targets: Sequence[Target]
) -> Iterator[tuple[Mapping[Target, Image.Image], int]]:
    for picture, duration_ms in pictures:
        made = Sizes(decoded, picture).make(targets)
        # The canvas itself goes on to the next frame.
        yield (
            {target: pixels.copy() if pixels is picture.pixels else pixels for target, pixels in made.items()},
            duration_ms,
        )


def _composited(decoded: Decoded, animation: Animation) -> Iterator[tuple[Picture, int]]:
    for pixels, duration_ms in composited(animation.mode, animation.size, animation.frames):
        yield ready(decoded, pixels), duration_ms


def _decoded(decoded: Decoded, header: Header) -> Iterator[tuple[Picture, int]]:
    """Yield the frames of a format whose decoder composites them."""
    for frame in range(min(header.frames, getattr(decoded.image, "n_frames", 1))):
        picture = next_picture(decoded, frame)
        yield picture, round(decoded.image.info.get("duration", 0)) or _NO_DELAY_MS

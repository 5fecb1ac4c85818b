"""Animations that stay animations: their frames one after the other, the time of each, and the number of plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.imaging.canvas import composited
from thumbq.imaging.decoded import next_picture, ready
from thumbq.imaging.formats.registry import INPUT_FORMATS
from thumbq.imaging.playback import Playback
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
class Animated:
    """All frames of an animation in some sizes, and how it runs."""

    frames: Mapping[Target, Sequence[Image.Image]]
    playback: Playback


def animated(original: Original, decoded: Decoded, header: Header, targets: Sequence[Target]) -> Animated:
    """Make all frames of an animation in these sizes, composited on the canvas.

    Each frame is resized before the next one is decoded. A decoder may raise anything.
    """
    made: dict[Target, list[Image.Image]] = {target: [] for target in targets}
    durations_ms = []
    input_format = INPUT_FORMATS[header.format]
    if input_format.animation is not None:
        animation = input_format.animation(original, header)
        plays, pictures = animation.plays, _composited(decoded, animation)
    else:
        plays, pictures = input_format.plays(decoded.image, original), _decoded(decoded, header)
    for picture, duration_ms in pictures:
        durations_ms.append(duration_ms)
        for target, pixels in Sizes(decoded, picture).make(targets).items():
            # The canvas itself goes on to the next frame.
            made[target].append(pixels.copy() if pixels is picture.pixels else pixels)
    return Animated(made, Playback(tuple(durations_ms), plays))


def _composited(decoded: Decoded, animation: Animation) -> Iterator[tuple[Picture, int]]:
    for pixels, duration_ms in composited(animation.mode, animation.size, animation.frames):
        yield ready(decoded, pixels), duration_ms


def _decoded(decoded: Decoded, header: Header) -> Iterator[tuple[Picture, int]]:
    """Yield the frames of a format whose decoder composites them."""
    for frame in range(min(header.frames, getattr(decoded.image, "n_frames", 1))):
        picture = next_picture(decoded, frame)
        yield picture, round(decoded.image.info.get("duration", 0)) or _NO_DELAY_MS

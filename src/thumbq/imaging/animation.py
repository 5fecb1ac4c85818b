"""Animations that stay animations: their frames one after the other, how long each is shown, how often all of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging import avifmotion, frames
from thumbq.imaging.decoded import next_picture, ready
from thumbq.imaging.motion import Motion
from thumbq.imaging.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.header import Header
    from thumbq.imaging.resize import Picture

_NO_DELAY_MS: Final = 100
"""What browsers make of a frame that is to be shown for no time."""


def films(
    original: Original, decoded: Decoded, header: Header, targets: Sequence[Target]
) -> tuple[dict[Target, list[Image.Image]], Motion]:
    """Make all frames of an animation in these sizes, composited on the canvas, and say how it runs.

    Each frame is resized before the next one is decoded. A decoder may raise anything.
    """
    made: dict[Target, list[Image.Image]] = {target: [] for target in targets}
    durations_ms = []
    reel = frames.reel(original, header)
    if reel is not None:
        plays = reel.plays
    else:
        plays = avifmotion.plays(original) if header.format is ImageFormat.AVIF else decoded.image.info.get("loop", 0)
    for picture, duration_ms in _decoded(decoded, header) if reel is None else _composited(decoded, reel):
        durations_ms.append(duration_ms)
        for target, pixels in Sizes(decoded, picture).make(targets).items():
            # The canvas itself goes on to the next frame.
            made[target].append(pixels.copy() if pixels is picture.pixels else pixels)
    return made, Motion(tuple(durations_ms), plays)


def _composited(decoded: Decoded, reel: frames.Reel) -> Iterator[tuple[Picture, int]]:
    for pixels, duration_ms in frames.composited(reel.mode, reel.size, reel.frames):
        yield ready(decoded, pixels), duration_ms


def _decoded(decoded: Decoded, header: Header) -> Iterator[tuple[Picture, int]]:
    """Yield the frames of WebP and AVIF, whose decoders composite them."""
    for frame in range(min(header.frames, getattr(decoded.image, "n_frames", 1))):
        picture = next_picture(decoded, frame)
        yield picture, round(decoded.image.info.get("duration", 0)) or _NO_DELAY_MS

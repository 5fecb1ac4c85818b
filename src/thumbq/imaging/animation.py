"""Animations that stay animations: their frames one after the other, how long each is shown, how often all of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.imaging.decode import next_picture
from thumbq.imaging.encode import Motion
from thumbq.imaging.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from thumbq.imaging.decode import Decoded
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.header import Header
    from thumbq.imaging.resize import Picture

_NO_DELAY_MS: Final = 100
"""What browsers make of a frame that is to be shown for no time at all."""


def films(
    decoded: Decoded, header: Header, targets: Sequence[Target]
) -> tuple[dict[Target, list[Image.Image]], Motion]:
    """Make all frames of an animation in these sizes, composited on the canvas, and say how it runs."""
    made: dict[Target, list[Image.Image]] = {target: [] for target in targets}
    durations_ms = []
    for picture in _pictures(decoded, header):
        durations_ms.append(round(decoded.image.info.get("duration", 0)) or _NO_DELAY_MS)
        for target, pixels in Sizes(decoded, picture).make(targets).items():
            made[target].append(pixels)
    return made, Motion(tuple(durations_ms), _plays(decoded, header))


def _pictures(decoded: Decoded, header: Header) -> Iterator[Picture]:
    image = decoded.image
    # The picture that is there for programs without APNG need not be a frame of the animation.
    first = 1 if getattr(image, "default_image", False) else 0
    for frame in range(first, min(first + header.frames, getattr(image, "n_frames", 1))):
        yield next_picture(decoded, frame)


def _plays(decoded: Decoded, header: Header) -> int:
    """Return how often an animation is played, 0 for ever.

    APNG and WebP count plays. A GIF counts the repetitions after the first play, and plays once where it says nothing
    (Netscape's extension).
    """
    loop = decoded.image.info.get("loop")
    if header.format is not ImageFormat.GIF:
        return loop or 0
    return 1 if loop is None else loop and loop + 1

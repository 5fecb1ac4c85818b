"""The result of decoding: a picture's pixels, and what its renditions are made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.imaging.geometry import reducing_gaps
from thumbq.imaging.resize import Picture, reduced

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging.geometry import Size, Target
    from thumbq.ports.rendering import Shrinking


@dataclass(frozen=True, slots=True)
class Decoded:
    """An original's first picture and what its renditions are made with; ``image`` has the further frames."""

    image: Image.Image
    picture: Picture
    targets: tuple[Target, ...]
    upright_size: Size
    orientation: int
    icc_profile: bytes | None
    shrink_on_load: Shrinking | None


def next_picture(decoded: Decoded, frame: int) -> Picture:
    """Load a further frame of an animation that its decoder composites (WebP, AVIF), at the size of the first."""
    decoded.image.seek(frame)
    decoded.image.load()
    return ready(decoded, decoded.image)


def ready(decoded: Decoded, pixels: Image.Image) -> Picture:
    """Return the pixels of a further frame, of the size of the first, ready for resampling."""
    return reduced(Picture(pixels, (1.0, 1.0)), reducing_gaps(decoded.targets, decoded.orientation))

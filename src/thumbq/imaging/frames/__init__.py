"""The frames of GIF and APNG, composited here: Pillow does it differently from the standards and from browsers.

A frame is decoded by Pillow as a still picture of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.formats import ImageFormat
from thumbq.imaging.frames import apng, gif
from thumbq.imaging.frames.canvas import Reel, composited

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

__all__ = ["Reel", "composited", "first_picture", "reel"]


def reel(original: Original, header: Header) -> Reel | None:
    """Return the frames of a GIF or APNG to composite; None for formats whose decoders do it right.

    Raises RenderRefused where the frames are damaged.
    """
    if header.format is ImageFormat.GIF:
        return gif.reel(original, header)
    return apng.reel(original, header) if header.format is ImageFormat.PNG else None


def first_picture(original: Original, header: Header) -> Image.Image | None:
    """Return the canvas with the first frame where Pillow would fill the rest of it with a colour, else None."""
    frame = gif.first_with_nothing_around(original) if header.format is ImageFormat.GIF else None
    if frame is None:
        return None
    canvas, _ = next(composited("RGBA", (header.width, header.height), [frame]))
    return canvas

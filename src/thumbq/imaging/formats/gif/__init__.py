"""GIF: its frames are composited by thumbq, and Pillow sees each as a file of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from PIL import GifImagePlugin  # noqa: F401 -- Image.open takes the formats whose plugins are loaded

from thumbq.core.formats import ImageFormat
from thumbq.imaging.canvas import composited
from thumbq.imaging.colour import embedded_profile
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.gif.frames import animation, first_file, first_frame_with_gap
from thumbq.imaging.formats.gif.header import read
from thumbq.imaging.formats.inputformat import USUAL_COSTS, InputFormat
from thumbq.imaging.opening import Opened, loaded, open_with_pillow

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header


def first_picture(original: Original, header: Header) -> Image.Image | None:
    """Return the canvas with the first frame where Pillow would fill the rest of it with a colour, else None."""
    frame = first_frame_with_gap(original)
    if frame is None:
        return None
    canvas, _ = next(composited("RGBA", (header.width, header.height), [frame]))
    return canvas


def _open(original: Original, header: Header) -> Opened:
    image = open_with_pillow(first_file(original), ImageFormat.GIF)

    def load() -> Image.Image:
        picture = first_picture(original, header)
        return loaded(image) if picture is None else picture

    return Opened(image, embedded_profile(image), load)


INPUT: Final = InputFormat(read, partial(decode_whole, _open), USUAL_COSTS, animation=animation)

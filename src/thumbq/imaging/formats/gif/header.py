"""A GIF's header: the canvas that its frames really need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.gif import blocks
from thumbq.imaging.header import MOST_FRAMES, Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_COMPOSITED_BYTES: Final = 3
"""Bytes of a pixel beyond the decoder's when the canvas gets an alpha channel."""


def read(original: Original) -> Header:
    """Read a GIF's blocks. As in browsers the first frame makes the canvas larger where it reaches over it.

    Later frames do not; ``animated_size`` covers those that are themselves larger than the canvas.
    """
    width = height = frames = 0
    clear = is_open = False
    largest = (0, 0)
    for picture in blocks.pictures(original):
        left, top, right, bottom = picture.box
        if not frames:
            largest = width, height = blocks.canvas(original, picture)
            clear, is_open = picture.is_clear, blocks.leaves_open(original, picture)
        largest = max(largest[0], right - left), max(largest[1], bottom - top)
        frames += 1
        if frames == MOST_FRAMES:
            break
    if not (width and height):
        raise RenderRefused("corrupt", "the GIF has no picture")
    return Header(
        ImageFormat.GIF,
        width,
        height,
        channels=1 + (clear or is_open),
        palette=True,
        frames=frames,
        animated_size=largest if largest != (width, height) else None,
        scratch_bytes=_COMPOSITED_BYTES * width * height if is_open else 0,
    )

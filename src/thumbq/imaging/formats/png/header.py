"""A PNG's header; of an APNG also whether its frames lie within it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.png.chunks import CHUNK_OVERHEAD, FIRST_CHUNK, chunks, frame_box, truncated
from thumbq.imaging.header import MOST_FRAMES, Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_IHDR: Final = struct.Struct(">IIBB")
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE: Final = 3
_LARGEST: Final = 0x7FFF_FFFF
_PIXELS: Final = frozenset({b"IDAT", b"fdAT"})


def read(original: Original) -> Header:
    """Read a PNG's header; of an APNG also whether the frames lie within the canvas.

    ``frames`` are those of the animation: a default image that is no part of it does not count.
    """
    if len(original) < FIRST_CHUNK + CHUNK_OVERHEAD + 13:
        raise truncated()
    if original[FIRST_CHUNK : FIRST_CHUNK + 8] != b"\0\0\0\x0dIHDR":
        raise RenderRefused("corrupt", "the PNG does not begin with its header")
    width, height, bits, colour = _IHDR.unpack_from(original, FIRST_CHUNK + 8)
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST and colour in _CHANNELS and bits in {1, 2, 4, 8, 16}):
        raise RenderRefused("corrupt", "the PNG's header is damaged")
    color_key, frames, kept_bytes = _look_through(original, width, height)
    return Header(
        ImageFormat.PNG,
        width,
        height,
        channels=_CHANNELS[colour] + color_key,
        bits=bits,
        palette=colour == _PALETTE,
        color_key=color_key,
        frames=frames,
        scratch_bytes=kept_bytes,
    )


def _look_through(original: Original, width: int, height: int) -> tuple[bool, int, int]:
    """Return whether there is a transparent colour, the frames, and the bytes of other chunks. Raises RenderRefused."""
    color_key, announced, frames, in_data, kept_bytes = False, 1, 0, False, 0
    for chunk in chunks(original):
        if chunk.kind not in _PIXELS:
            kept_bytes += chunk.end - chunk.at
        if chunk.kind == b"tRNS":
            color_key = True
        elif chunk.kind == b"acTL" and not in_data:
            announced = int.from_bytes(original[chunk.at : chunk.at + 4], "big")
        elif chunk.kind == b"fcTL":
            frames += 1
            _check_frame(frame_box(original, chunk), (width, height), whole=not in_data)
        elif chunk.kind == b"IDAT":
            in_data = True
    return color_key, max(1, min(announced, frames, MOST_FRAMES)), kept_bytes


def _check_frame(box: tuple[int, int, int, int], canvas: tuple[int, int], *, whole: bool) -> None:
    left, top, right, bottom = box
    if not (left < right <= canvas[0] and top < bottom <= canvas[1]):
        raise RenderRefused("corrupt", "the APNG has a frame that lies outside of it")
    if whole and box != (0, 0, *canvas):
        raise RenderRefused("corrupt", "the APNG's first frame is not of its size")

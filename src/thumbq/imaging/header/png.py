"""PNG and APNG (W3C PNG, third edition)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header.facts import MOST_FRAMES, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

_IHDR: Final = struct.Struct(">IIBB")
_CHUNK: Final = struct.Struct(">I4s")
_FRAME: Final = struct.Struct(">IIII")
_CHUNK_OVERHEAD: Final = 12
_FIRST_CHUNK: Final = 8
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE: Final = 3
_LARGEST: Final = 0x7FFF_FFFF
_MOST_CHUNKS: Final = 50_000
_END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"


def read(original: Original) -> Header:
    """Read a PNG's header; of an APNG also whether the frames lie within the canvas."""
    if len(original) < _FIRST_CHUNK + _CHUNK_OVERHEAD + 13:
        raise _truncated()
    if original[_FIRST_CHUNK : _FIRST_CHUNK + 8] != b"\0\0\0\x0dIHDR":
        raise RenderRefused("corrupt", "the PNG does not begin with its header")
    width, height, bits, colour = _IHDR.unpack_from(original, _FIRST_CHUNK + 8)
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST and colour in _CHANNELS and bits in {1, 2, 4, 8, 16}):
        raise RenderRefused("corrupt", "the PNG's header is damaged")
    clear, frames = _look_through(original, width, height)
    return Header(
        ImageFormat.PNG,
        width,
        height,
        channels=_CHANNELS[colour] + clear,
        bits=bits,
        palette=colour == _PALETTE,
        frames=frames,
    )


def _look_through(original: Original, width: int, height: int) -> tuple[bool, int]:
    """Return whether there is a transparent colour, and the number of frames. Raises RenderRefused."""
    clear, frames = False, 1
    ends_well = original[-len(_END) :] == _END
    for kind, body in _chunks(original):
        if kind == b"tRNS":
            clear = True
        elif kind == b"acTL":
            frames = min(MOST_FRAMES, max(1, int.from_bytes(original[body : body + 4], "big")))
        elif kind == b"fcTL":
            frame_width, frame_height, left, top = _FRAME.unpack(original[body + 4 : body + 20].ljust(16, b"\0"))
            if left + frame_width > width or top + frame_height > height:
                raise RenderRefused("corrupt", "the APNG has a frame that lies outside of it")
        elif kind == b"IDAT" and frames == 1 and ends_well:
            break
    return clear, frames


def _chunks(original: Original) -> Iterator[tuple[bytes, int]]:
    """Yield each chunk's type and where its data begins, up to the end; raises RenderRefused where there is none."""
    at = _FIRST_CHUNK
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK_OVERHEAD > len(original):
            raise _truncated()
        length, kind = _CHUNK.unpack_from(original, at)
        yield kind, at + 8
        if kind == b"IEND":
            return
        at += _CHUNK_OVERHEAD + length
    raise RenderRefused("corrupt", f"the PNG has more than {_MOST_CHUNKS} chunks")


def _truncated() -> RenderRefused:
    return RenderRefused("truncated", "the PNG ends in the middle of its data")

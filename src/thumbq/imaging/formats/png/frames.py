"""The frames of an APNG (W3C PNG, third edition, 4.9 and 11.3.6)."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.canvas import Animation, Disposal, Frame
from thumbq.imaging.formats.png import chunks as png
from thumbq.imaging.formats.png import rows
from thumbq.imaging.formats.png.header import read
from thumbq.imaging.formats.png.transparency import scale_color_key
from thumbq.imaging.opening import open_with_pillow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK_START: Final = struct.Struct(">I4s")
_CHECKSUM: Final = struct.Struct(">I")
_COUNTS: Final = struct.Struct(">II")
_SIZE: Final = struct.Struct(">II")
_CONTROL: Final = struct.Struct(">I16xHHBB")
_SEQUENCE_SIZE: Final = 4
_TAIL_AT: Final = 8
"""The offset in IHDR of the bit depth and the rest after the size."""

_DISPOSALS: Final = {0: Disposal.KEEP, 1: Disposal.CLEAR, 2: Disposal.RESTORE}
_BLENDS: Final = {0: False, 1: True}
_HUNDREDTHS: Final = 100
_AT_ONCE_MS: Final = 100
"""The time for which browsers show a frame without a delay."""

_GREY: Final = frozenset({0, 4})
_SHARED: Final = frozenset({b"PLTE", b"tRNS"})
"""The chunks that every frame needs besides its own data; colours are converted after the compositing."""


def animation(original: Original, header: Header) -> Animation:
    """Return an APNG's frames: those of the animation, without a default image that is no part of it.

    Raises RenderRefused: corrupt.
    """
    chunks = png.chunks(original)
    ihdr = next(chunks)
    tail, shared, plays = original[ihdr.at + _TAIL_AT : ihdr.end], b"", 1
    frames: list[Frame] = []
    data: list[slice] | None = None
    sequence = 0
    for chunk in chunks:
        if chunk.kind == b"acTL":
            _, plays = _COUNTS.unpack(_start(original, chunk, _COUNTS.size))
        elif chunk.kind in _SHARED:
            shared += original[chunk.at - 8 : chunk.end + 4]
        elif chunk.kind in {b"fcTL", b"fdAT"}:
            if int.from_bytes(_start(original, chunk, _SEQUENCE_SIZE), "big") != sequence:
                raise RenderRefused("corrupt", "the APNG's frames are out of order")
            sequence += 1
        if chunk.kind == b"fcTL":
            if len(frames) == header.frames:
                break
            data = []
            frames.append(_frame(original, chunk, partial(_load, original, tail, shared, data)))
        elif data is not None and chunk.kind in {b"IDAT", b"fdAT"}:
            data.append(slice(chunk.at + _SEQUENCE_SIZE * (chunk.kind == b"fdAT"), chunk.end))
    grey = tail[1] in _GREY
    return Animation("LA" if grey else "RGBA", (header.width, header.height), plays, tuple(frames))


def _frame(original: Original, control: png.Chunk, load: Callable[[tuple[int, int]], Image.Image]) -> Frame:
    box = left, top, right, bottom = png.frame_box(original, control)
    _, numerator, denominator, disposal, blend = _CONTROL.unpack(_start(original, control, _CONTROL.size))
    if disposal not in _DISPOSALS or blend not in _BLENDS:
        raise RenderRefused("corrupt", "the APNG has a frame of an unknown kind")
    denominator = denominator or _HUNDREDTHS
    delay_ms = round(1000 * numerator / denominator)
    size = right - left, bottom - top
    return Frame(box, partial(load, size), delay_ms or _AT_ONCE_MS, _DISPOSALS[disposal], _BLENDS[blend])


def _load(original: Original, tail: bytes, shared: bytes, data: Sequence[slice], size: tuple[int, int]) -> Image.Image:
    """Decode a frame by itself: as a PNG of its size."""
    file = io.BytesIO()
    file.write(_SIGNATURE)
    _write(file, b"IHDR", [_SIZE.pack(*size), tail])
    file.write(shared)
    _write(file, b"IDAT", (original[part] for part in data))
    _write(file, b"IEND", [])
    file.seek(0)
    image = open_with_pillow(file, ImageFormat.PNG)
    scale_color_key(image)
    rows.mark(image)
    image.load()
    if not rows.all_there(image, still := file.getvalue(), read(still)):
        raise RenderRefused("truncated", "the APNG has a frame with fewer rows than it says")
    return image


def _write(file: IO[bytes], kind: bytes, pieces: Iterable[bytes]) -> None:
    start = file.tell()
    file.write(_CHUNK_START.pack(0, kind))
    length, checksum = 0, zlib.crc32(kind)
    for piece in pieces:
        length, checksum = length + len(piece), zlib.crc32(piece, checksum)
        file.write(piece)
    file.write(_CHECKSUM.pack(checksum))
    file.seek(start)
    file.write(_CHUNK_START.pack(length, kind))
    file.seek(0, io.SEEK_END)


def _start(original: Original, chunk: png.Chunk, size: int) -> bytes:
    """Return the first bytes of a chunk's data; what it lacks counts as 0."""
    return original[chunk.at : min(chunk.end, chunk.at + size)].ljust(size, b"\0")

"""The frames of an APNG (W3C PNG, third edition, 4.9 and 11.3.6)."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.canvas import Animation, AnimationDamaged, Disposal, Frame
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
_TAIL_AT: Final = png.FIRST_CHUNK + 8 + _SIZE.size
"""The offset of the bit depth, and of the header's rest, behind the size."""

_DISPOSALS: Final = {0: Disposal.KEEP, 1: Disposal.CLEAR, 2: Disposal.RESTORE}
_BLENDS: Final = {0: False, 1: True}
_HUNDREDTHS: Final = 100
_AT_ONCE_MS: Final = 100
"""The time for which browsers show a frame without a delay."""

_GREY: Final = frozenset({0, 4})


def animation(original: Original, header: Header) -> Animation:
    """Return an APNG's frames: those of the animation, without a default image that is no part of it.

    Raises AnimationDamaged.
    """
    assert header.png is not None
    tail = original[_TAIL_AT : png.BEHIND_HEADER - 4]
    shared = b"".join(original[start:end] for start, end in header.png.shared)
    frames: list[Frame] = []
    data: list[slice] | None = None
    for chunk in png.chunks(original):
        if chunk.kind == b"fcTL":
            if len(frames) == header.frames:
                break
            data = []
            frames.append(_frame(original, chunk, partial(_load, original, tail, shared, data)))
        elif chunk.kind == b"fdAT" and not chunk.fits_checksum(original):
            raise AnimationDamaged
        elif data is not None and chunk.kind in {b"IDAT", b"fdAT"}:
            data.append(slice(chunk.at + _SEQUENCE_SIZE * (chunk.kind == b"fdAT"), chunk.end))
    _, plays = _COUNTS.unpack_from(original, header.png.told[b"acTL"][0])
    grey = tail[1] in _GREY
    return Animation("LA" if grey else "RGBA", (header.width, header.height), plays, tuple(frames))


def _frame(original: Original, control: png.Chunk, load: Callable[[tuple[int, int]], Image.Image]) -> Frame:
    box = left, top, right, bottom = png.frame_box(original, control)
    _, numerator, denominator, disposal, blend = _CONTROL.unpack_from(original, control.at)
    denominator = denominator or _HUNDREDTHS
    delay_ms = round(1000 * numerator / denominator)
    size = right - left, bottom - top
    return Frame(box, partial(load, size), delay_ms or _AT_ONCE_MS, _DISPOSALS[disposal], _BLENDS[blend])


def _load(original: Original, tail: bytes, shared: bytes, data: Sequence[slice], size: tuple[int, int]) -> Image.Image:
    """Decode a frame by itself: as a PNG of its size. Raises AnimationDamaged."""
    file = io.BytesIO()
    file.write(_SIGNATURE)
    _write(file, b"IHDR", [_SIZE.pack(*size), tail])
    file.write(shared)
    _write(file, b"IDAT", (original[part] for part in data))
    _write(file, b"IEND", [])
    file.seek(0)
    try:
        return _decoded(file)
    except MemoryError:
        raise
    except Exception as error:
        raise AnimationDamaged from error


def _decoded(file: io.BytesIO) -> Image.Image:
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

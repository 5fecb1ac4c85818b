"""WebP (RFC 9649): the canvas and the frames in it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import MOST_FRAMES, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thumbq.imaging import Original

_RIFF_HEADER: Final = 12
_CHUNK: Final = struct.Struct("<4sI")
_MOST_CHUNKS: Final = 50_000
_LOSSY_START: Final = b"\x9d\x01\x2a"
_LOSSLESS_START: Final = 0x2F
_SIDE: Final = 0x3FFF
ALPHA: Final = 0x10
"""The flag of VP8X, and of a lossless picture's header, that there is transparency."""

VP8X_FLAGS_AT: Final = 20
_METADATA: Final = {b"ICCP": ("icc_profile", 0x20), b"EXIF": ("exif", 0x08)}
"""Pillow's names, and the flags of VP8X without which libwebp does not count the chunks."""

_DISPOSAL_AT: Final = 15
_CLEARED: Final = 1
_NOTHING: Final = (1 << 24, 1 << 24, 0, 0)

_Size = tuple[int, int]
_Box = tuple[int, int, int, int]


def read(original: Original) -> Header:
    """Read a WebP's header: the canvas, whose frames must lie within it.

    Of an animation ``channels`` counts alpha also where opaque frames leave a part of the canvas open.
    """
    if len(original) < 8 + int.from_bytes(original[4:8], "little"):
        raise RenderRefused("truncated", "the WebP file is shorter than its header says")
    chunks = _chunks(original)
    kind, at, _ = next(chunks, (b"", 0, 0))
    if kind != b"VP8X":
        return _header(_picture_size(original, kind, at), alpha=_has_alpha(original, kind, at))
    alpha = bool(_byte(original, at) & ALPHA)
    canvas = 1 + _three_bytes(original, at + 4), 1 + _three_bytes(original, at + 7)
    frames, has_holes = _frames(original, chunks, canvas)
    return _header(canvas, alpha=alpha or has_holes, frames=frames)


def metadata(original: Original) -> dict[str, bytes]:
    """Return the profile and the EXIF block by Pillow's names, as libwebp finds them. Raises RenderRefused."""
    chunks = _chunks(original)
    kind, flags_at, _ = next(chunks, (b"", 0, 0))
    found: dict[str, bytes] = {}
    if kind == b"VP8X":
        for kind, at, length in chunks:
            name, flag = _METADATA.get(kind, ("", 0))
            if flag & _byte(original, flags_at):
                found.setdefault(name, original[at : at + length])
    return found


def _header(size: _Size, *, alpha: bool, frames: int = 1) -> Header:
    return Header(ImageFormat.WEBP, *size, channels=3 + alpha, frames=frames)


def _frames(original: Original, chunks: Iterator[tuple[bytes, int, int]], canvas: _Size) -> tuple[int, bool]:
    """Return the number of frames, 1 for a still picture, and whether opaque ones leave holes in the canvas.

    Raises RenderRefused for frames that are damaged.
    """
    frames, still, has_holes = 0, False, False
    cleared: _Box = 0, 0, *canvas
    for kind, at, _ in chunks:
        if kind == b"ANMF":
            frames += 1
            left, top = 2 * _three_bytes(original, at), 2 * _three_bytes(original, at + 3)
            right, bottom = left + 1 + _three_bytes(original, at + 6), top + 1 + _three_bytes(original, at + 9)
            if right > canvas[0] or bottom > canvas[1]:
                raise RenderRefused("corrupt", "the WebP has a frame that lies outside of it")
            box = left, top, right, bottom
            has_holes |= not _covers(box, cleared)
            cleared = box if _byte(original, at + _DISPOSAL_AT) & _CLEARED else _NOTHING
        elif kind in {b"VP8 ", b"VP8L"}:
            still = True
            if _picture_size(original, kind, at) != canvas:
                raise RenderRefused("corrupt", "the WebP's picture has another size than its header says")
    if not frames and not still:
        raise _damaged()
    return min(MOST_FRAMES, max(1, frames)), has_holes


def _covers(box: _Box, other: _Box) -> bool:
    return box[0] <= other[0] and box[1] <= other[1] and box[2] >= other[2] and box[3] >= other[3]


def _picture_size(original: Original, kind: bytes, at: int) -> _Size:
    start = original[at : at + 10].ljust(10, b"\0")
    if kind == b"VP8 " and start[3:6] == _LOSSY_START:
        size = int.from_bytes(start[6:8], "little") & _SIDE, int.from_bytes(start[8:10], "little") & _SIDE
    elif kind == b"VP8L" and start[0] == _LOSSLESS_START:
        bits = int.from_bytes(start[1:5], "little")
        size = 1 + (bits & _SIDE), 1 + (bits >> 14 & _SIDE)
    else:
        raise _damaged()
    if not all(size):
        raise _damaged()
    return size


def _has_alpha(original: Original, kind: bytes, at: int) -> bool:
    return kind == b"VP8L" and bool(_byte(original, at + 4) & ALPHA)


def _chunks(original: Original) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, where its data begins, and their length. Raises RenderRefused."""
    at, end = _RIFF_HEADER, 8 + int.from_bytes(original[4:8], "little")
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK.size > end:
            return
        kind, length = _CHUNK.unpack_from(original, at)
        at += _CHUNK.size
        if at + length > end:
            raise RenderRefused("truncated", "the WebP file is shorter than its chunks say")
        yield kind, at, length
        at += length + (length & 1)
    raise RenderRefused("corrupt", f"the WebP has more than {_MOST_CHUNKS} chunks")


def _byte(original: Original, at: int) -> int:
    return int.from_bytes(original[at : at + 1], "little")


def _three_bytes(original: Original, at: int) -> int:
    return int.from_bytes(original[at : at + 3], "little")


def _damaged() -> RenderRefused:
    return RenderRefused("corrupt", "the WebP's header is damaged")

"""Animations from their frames, written byte by byte, and what each frame must look like on the canvas.

Writing them here and not with Pillow leaves nothing to an encoder's cleverness: every frame has the place, the
disposal and the delay that a test asks for. Alpha is 0 or 255.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from PIL import Image

from support.pictures.containers import png_file, riff_chunks, riff_part, webp_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from support.pictures.containers import Part


Size = tuple[int, int]
Disposal = Literal["keep", "background", "previous"]

_GIF_DISPOSAL: Final = {"keep": 1, "background": 2, "previous": 3}
_APNG_DISPOSAL: Final = {"keep": 0, "background": 1, "previous": 2}
_CODES_BEFORE_CLEAR: Final = 250
_MOST_COLOURS: Final = 255


@dataclass(frozen=True)
class Frame:
    """What is drawn at a place, for how long, and what happens to it then. Not ``over``: it replaces what was there."""

    pixels: NDArray[np.uint8]
    at: tuple[int, int] = (0, 0)
    delay_ms: int = 100
    disposal: Disposal = "keep"
    over: bool = True


def plain(size: Size, colour: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return one colour: RGB, or RGBA."""
    width, height = size
    return np.full((height, width, 4), (*colour, 255)[:4], dtype=np.uint8)


def composited(canvas: Size, frames: Sequence[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Yield the canvas as it is seen during each frame."""
    width, height = canvas
    seen = np.zeros((height, width, 4), dtype=np.uint8)
    for frame in frames:
        before = seen.copy()
        x, y = frame.at
        place = seen[y : y + len(frame.pixels), x : x + frame.pixels.shape[1]]
        drawn = frame.pixels[: place.shape[0], : place.shape[1]]
        place[:] = np.where(drawn[..., 3:] > 0, drawn, place) if frame.over else drawn
        yield seen.copy()
        if frame.disposal == "background":
            place[:] = 0
        elif frame.disposal == "previous":
            seen = before


def gif(canvas: Size, frames: Sequence[Frame], *, repeats: int | None = 0, more: bytes = b"") -> bytes:
    """Write a GIF89a. ``repeats`` goes into the NETSCAPE extension (0: for ever), None leaves that out.

    ``more`` are blocks before the frames.
    """
    coded = [frame.pixels[..., :3].astype(np.uint32) @ (1, 256, 65536) for frame in frames]
    seen = [codes[frame.pixels[..., 3] > 0] for codes, frame in zip(coded, frames, strict=True)]
    palette = np.unique(np.concatenate(seen))
    if len(palette) > _MOST_COLOURS:
        raise ValueError(f"a GIF's palette has no room for {len(palette)} colours")
    table = b"".join(int(colour).to_bytes(3, "little") for colour in palette).ljust(256 * 3, b"\0")
    data = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0xF7, 0, 0) + table
    if repeats is not None:
        data += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0"
    for frame, codes in zip(frames, coded, strict=True):
        height, width = frame.pixels.shape[:2]
        clear = frame.pixels[..., 3] == 0
        indices = np.where(clear, 255, np.searchsorted(palette, codes)).astype(np.uint8)
        control = _GIF_DISPOSAL[frame.disposal] << 2 | bool(clear.any())
        data += b"\x21\xf9\x04" + struct.pack("<BHBB", control, frame.delay_ms // 10, 255, 0)
        data += b"," + struct.pack("<HHHHB", *frame.at, width, height, 0) + _lzw(indices.tobytes())
    return data[: 13 + 768] + more + data[13 + 768 :] + b";"


def _lzw(indices: bytes) -> bytes:
    """Code without compressing: a clear code comes before the codes grow beyond 9 bits."""
    codes: list[int] = []
    for at in range(0, len(indices), _CODES_BEFORE_CLEAR):
        codes += [256, *indices[at : at + _CODES_BEFORE_CLEAR]]
    bits = np.array([*codes, 257])[:, None] >> np.arange(9) & 1
    packed = np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()
    blocks = (packed[at : at + 255] for at in range(0, len(packed), 255))
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def apng(canvas: Size, frames: Sequence[Frame], *, plays: int = 0, default: NDArray[np.uint8] | None = None) -> bytes:
    """Write an APNG that plays so often (0: for ever). A ``default`` image is what is no part of the animation."""
    chunks: list[Part] = [
        (b"IHDR", struct.pack(">IIBBBBB", *canvas, 8, 6, 0, 0, 0)),
        (b"acTL", struct.pack(">II", len(frames), plays)),
    ]
    if default is not None:
        chunks.append((b"IDAT", _rows(default)))
    sequence = 0
    for number, frame in enumerate(frames):
        height, width = frame.pixels.shape[:2]
        how = _APNG_DISPOSAL[frame.disposal], int(frame.over)
        control = struct.pack(">5I2H2B", sequence, width, height, *frame.at, frame.delay_ms, 1000, *how)
        chunks.append((b"fcTL", control))
        sequence += 1
        if number == 0 and default is None:
            chunks.append((b"IDAT", _rows(frame.pixels)))
        else:
            chunks.append((b"fdAT", struct.pack(">I", sequence) + _rows(frame.pixels)))
            sequence += 1
    return png_file([*chunks, (b"IEND", b"")])


def _rows(pixels: NDArray[np.uint8]) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def webp(canvas: Size, frames: Sequence[Frame], *, plays: int = 0, more: Sequence[Part] = ()) -> bytes:
    """Write a lossless WebP that plays so often (0: for ever). Places are even; it knows no ``previous``."""
    flags = 0x12 | 0x08 * any(kind == b"EXIF" for kind, _ in more)
    header = struct.pack("<I", flags) + _int24(canvas[0] - 1) + _int24(canvas[1] - 1)
    parts: list[Part] = [(b"VP8X", header), (b"ANIM", struct.pack("<IH", 0, plays))]
    for frame in frames:
        height, width = frame.pixels.shape[:2]
        numbers = frame.at[0] // 2, frame.at[1] // 2, width - 1, height - 1, frame.delay_ms
        control = b"".join(map(_int24, numbers)) + bytes([(not frame.over) << 1 | (frame.disposal == "background")])
        parts.append((b"ANMF", control + b"".join(riff_part(*part) for part in _still_webp(frame.pixels))))
    return webp_file([*parts, *more])


def _still_webp(pixels: NDArray[np.uint8]) -> list[Part]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, exact=True, method=0)
    return [part for part in riff_chunks(file.getvalue()) if part[0] != b"VP8X"]


def _int24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def avif(canvas: Size, frames: Sequence[Frame]) -> bytes:
    """Write an AVIF image sequence of whole frames (nearly lossless: by Pillow)."""
    first, *rest = (Image.fromarray(pixels) for pixels in composited(canvas, frames))
    file = io.BytesIO()
    delays = [frame.delay_ms for frame in frames]
    first.save(
        file,
        "AVIF",
        save_all=True,
        append_images=rest,
        duration=delays,
        quality=95,
        subsampling="4:4:4",
        speed=9,
        max_threads=1,
    )
    return file.getvalue()

"""A PNG's header: its size and kind, and which of its chunks count.

What is wrong with an ancillary chunk costs that chunk and not the picture (W3C PNG, third edition, 13.1).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.png.animationchunks import AnimationChunks
from thumbq.imaging.formats.png.chunks import BEHIND_HEADER, CHUNK_START, FIRST_CHUNK, HEADER_BYTES, chunks, truncated
from thumbq.imaging.header import Header, PngHeader

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.png.chunks import Chunk

_IHDR: Final = struct.Struct(">IIBB")
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE: Final = 3
_LARGEST: Final = 0x7FFF_FFFF

_ANIMATION: Final = b"acTL"
_LENGTHS: Final = {_ANIMATION: 8, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
_ON_COLOURS: Final = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP"})
"""The chunks that say what the colours are. They stand before the palette (5.6)."""

_KEY_BYTES: Final = {0: 2, 2: 6}
_EXIF: Final = b"eXIf"
_TRANSPARENCY: Final = b"tRNS"
_CRITICAL: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def read(original: Original) -> Header:
    """Read a PNG's header.

    ``frames`` are those of the animation: a default image that is no part of it does not count. A damaged animation has
    none: the PNG is its default image.
    """
    if original[FIRST_CHUNK + 4 : FIRST_CHUNK + 8] == b"CgBI":
        raise RenderRefused("unsupported-format", "a PNG that was made for iPhones (CgBI) is not taken")
    if len(original) < BEHIND_HEADER:
        raise truncated()
    if original[FIRST_CHUNK : FIRST_CHUNK + 8] != CHUNK_START.pack(HEADER_BYTES, b"IHDR"):
        raise RenderRefused("corrupt", "the PNG does not begin with its header")
    width, height, bits, colour = _IHDR.unpack_from(original, FIRST_CHUNK + 8)
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST and colour in _CHANNELS and bits in {1, 2, 4, 8, 16}):
        raise RenderRefused("corrupt", "the PNG's header is damaged")
    layout = _Layout(original, colour)
    animation = AnimationChunks(original, (width, height))
    for chunk in chunks(original):
        layout.add(chunk)
        animation.add(chunk)
    png = layout.found()
    color_key = _TRANSPARENCY in png.told
    announced, _ = png.told.get(_ANIMATION, (0, 0))
    return Header(
        ImageFormat.PNG,
        width,
        height,
        channels=_CHANNELS[colour] + color_key,
        bits=bits,
        palette=colour == _PALETTE,
        color_key=color_key,
        frames=animation.frames(int.from_bytes(original[announced : announced + 4], "big") if announced else 0),
        scratch_bytes=sum(end - start for start, end in (*png.shared, *png.told.values())),
        png=png,
    )


class _Layout:
    """Gathers the chunks that count; of those that may come once, the first that is as it should be."""

    def __init__(self, original: Original, colour: int) -> None:
        self._original = original
        self._colour = colour
        self._told: dict[bytes, tuple[int, int]] = {}
        self._shared: list[tuple[int, int]] = []
        self._pixels: list[tuple[int, int]] = []
        self._cut: tuple[int, int] | None = None
        self._palette: Chunk | None = None
        self._ended = False

    def add(self, chunk: Chunk) -> None:
        """Take another chunk. Raises RenderRefused: corrupt, unsupported-format."""
        whole = chunk.at - CHUNK_START.size, chunk.end + 4
        if chunk.kind == b"IDAT" and not chunk.whole:
            self._cut = chunk.at, chunk.end
        elif chunk.kind == b"IDAT":
            _append(self._pixels, whole)
        elif chunk.kind == b"IEND":
            self._ended = True
        elif chunk.ancillary:
            self._add_ancillary(chunk, whole)
        elif not self._pixels:
            self._add_critical(chunk, whole)

    def found(self) -> PngHeader:
        """Return what was found. Raises RenderRefused: truncated, corrupt."""
        if not self._pixels and self._cut is None:
            raise RenderRefused("corrupt", "the PNG has no picture") if self._ended else truncated()
        if self._colour == _PALETTE and self._palette is None:
            raise RenderRefused("corrupt", "the PNG has no palette")
        return PngHeader(tuple(self._shared), tuple(self._pixels), self._cut, self._told)

    def _add_critical(self, chunk: Chunk, whole: tuple[int, int]) -> None:
        # The decoder checks those that it knows. A palette is none of its business where pixels are no indices.
        if chunk.kind not in _CRITICAL and not chunk.fits_checksum(self._original):
            raise RenderRefused("corrupt", "the PNG has a damaged chunk that a picture cannot do without")
        if chunk.kind not in _CRITICAL:
            # W3C PNG, third edition, 13.1: without it nobody can tell what the pixels mean.
            raise RenderRefused(
                "unsupported-format", "the PNG has a chunk that is not known, and that it cannot do without"
            )
        if chunk.kind == b"PLTE":
            self._palette = chunk
            if self._colour == _PALETTE:
                _append(self._shared, whole)

    def _add_ancillary(self, chunk: Chunk, whole: tuple[int, int]) -> None:
        if chunk.kind in self._told or not self._counts(chunk) or not chunk.fits_checksum(self._original):
            return
        self._told[chunk.kind] = chunk.at, chunk.end
        if chunk.kind == _TRANSPARENCY:
            _append(self._shared, whole)

    def _counts(self, chunk: Chunk) -> bool:
        """Return whether an ancillary chunk tells something, and has its place and length."""
        length = chunk.end - chunk.at
        if chunk.kind == _EXIF:  # libpng and browsers take it behind the pixels too
            return True
        if self._pixels:
            return False
        if chunk.kind == _TRANSPARENCY:
            if self._colour == _PALETTE:
                return self._palette is not None and 0 < 3 * length <= self._palette.end - self._palette.at
            return length == _KEY_BYTES.get(self._colour)
        has_place = chunk.kind == _ANIMATION or (chunk.kind in _ON_COLOURS and self._palette is None)
        return has_place and length == _LENGTHS.get(chunk.kind, length)


def _append(ranges: list[tuple[int, int]], added: tuple[int, int]) -> None:
    """Add a range; those that touch are one."""
    if ranges and ranges[-1][1] == added[0]:
        ranges[-1] = ranges[-1][0], added[1]
    else:
        ranges.append(added)

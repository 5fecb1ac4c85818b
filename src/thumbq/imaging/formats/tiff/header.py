"""TIFF 6.0: the first page, and the largest strip or tile that its decoder must hold."""

from __future__ import annotations

import struct
from math import ceil
from operator import add
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.header import Header

if TYPE_CHECKING:
    from thumbq.imaging import Original

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of a value of each type."""

_CODES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_ENTRY_SIZE: Final = 12
_INLINE: Final = 4
_MOST_PARTS: Final = 100_000
_MOST_TAGS: Final = 2_000

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR = (
    256, 257, 258, 259, 273, 277, 278, 279, 284
)  # fmt: skip
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES, _EXTRA_SAMPLES = 322, 323, 324, 325, 338
_PHOTOMETRIC, _PALETTE = 262, 3
_NOT_COMPRESSED: Final = 1
_JPEGS: Final = frozenset({6, 7})
_SEPARATE_PLANES: Final = 2


def read(original: Original) -> Header:
    """Read the directory of the first page. Raises RenderRefused."""
    page = _Page(original)
    width, height = page.number(_WIDTH, 0), page.number(_HEIGHT, 0)
    samples, bits = page.number(_SAMPLES, 1), page.number(_BITS, 1)
    if not (width and height and samples > 0 and 0 < bits <= 64):  # noqa: PLR2004 -- bits of the largest sample
        raise _damaged()
    page.check_parts()
    part_width, part_height = page.number(_TILE_WIDTH, width), page.number(_TILE_HEIGHT, 0)
    if not part_height:
        part_width, part_height = width, min(height, page.number(_ROWS, height))
    planes = samples if page.number(_PLANAR, 1) == _SEPARATE_PLANES else 1
    if part_width and part_height:
        page.check_all_there(planes * ceil(width / part_width) * ceil(height / part_height))
    part_bytes = part_width * part_height * (samples // planes) * bits // 8
    return Header(
        ImageFormat.TIFF,
        width,
        height,
        channels=samples,
        bits=bits,
        palette=page.number(_PHOTOMETRIC, 0) == _PALETTE,
        scratch_bytes=_scratch_bytes(page.number(_COMPRESSION, 1), part_bytes, len(original)),
    )


def _scratch_bytes(compression: int, part_bytes: int, file_bytes: int) -> int:
    """Return what libtiff is given and holds: nothing when Pillow reads pixels that are not compressed by itself."""
    if compression == _NOT_COMPRESSED:
        return 0
    # A progressive JPEG's coefficients take two bytes a sample.
    return file_bytes + part_bytes * (3 if compression in _JPEGS else 1)


class _Page:
    """The tags of the first directory."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._order = "<" if original[:2] == b"II" else ">"
        (at,) = self._values("I", 4)
        (count,) = self._values("H", at)
        if count > _MOST_TAGS:
            raise _damaged()
        self._tags: dict[int, tuple[int, int, int]] = {}
        taken = 0
        for entry in range(at + 2, at + 2 + count * _ENTRY_SIZE, _ENTRY_SIZE):
            tag, kind, values, place = self._values("HHII", entry)
            size = _SIZES.get(kind, 0) * values
            taken += size
            self._tags.setdefault(tag, (kind, values, entry + 8 if size <= _INLINE else place))
        if taken > len(original):
            raise _damaged()

    def number(self, tag: int, default: int) -> int:
        """Return a tag's first value."""
        values = self._numbers(tag, 1)
        return values[0] if values else default

    def check_parts(self) -> None:
        """Refuse the file when a strip or tile lies beyond its end, or there are too many of them."""
        for offsets_tag, sizes_tag in ((_STRIP_OFFSETS, _STRIP_SIZES), (_TILE_OFFSETS, _TILE_SIZES)):
            offsets, sizes = self._numbers(offsets_tag), self._numbers(sizes_tag)
            if max(map(add, offsets, sizes), default=0) > len(self._original):
                raise _truncated()

    def check_all_there(self, parts: int) -> None:
        """Refuse the file when it has fewer strips or tiles than its picture needs: the rest would be black."""
        if max(self._count(_STRIP_OFFSETS), self._count(_TILE_OFFSETS)) < parts:
            raise _truncated()

    def _count(self, tag: int) -> int:
        return self._tags[tag][1] if tag in self._tags else 0

    def _numbers(self, tag: int, most: int = _MOST_PARTS) -> tuple[int, ...]:
        kind, count, at = self._tags.get(tag, (1, 0, 0))
        if kind not in _CODES or count > _MOST_PARTS:
            raise _damaged()
        return self._values(f"{min(count, most)}{_CODES[kind]}", at)

    def _values(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, self._original, at)
        except struct.error:
            raise _truncated() from None


def _damaged() -> RenderRefused:
    return RenderRefused("corrupt", "the TIFF's directory is damaged")


def _truncated() -> RenderRefused:
    return RenderRefused("truncated", "the TIFF ends in the middle of its data")

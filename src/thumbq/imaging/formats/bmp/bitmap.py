"""The headers of a BMP: of Windows (BITMAPINFOHEADER to BITMAPV5HEADER) and of OS/2 (BITMAPCOREHEADER, version 2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.opening import unsupported_kind

if TYPE_CHECKING:
    from thumbq.imaging import Original

HEADER_AT: Final = 14
"""Where the header begins that says its size: behind that of the file."""

_CORE_SIZE, _INFO_SIZE, _V2_SIZE, _V3_SIZE = 12, 40, 52, 56
_WINDOWS: Final = frozenset({_INFO_SIZE, _V2_SIZE, _V3_SIZE, 108, 124})
_CORE: Final = struct.Struct("<HH2xH")
_INFO: Final = struct.Struct("<ii2xHI12xI")
"""Width, height, depth, compression and colours. OS/2 may leave out any from the end, which are then 0."""

_NONE, _RUNS_8, _RUNS_4, _MASKS, _JPEG, _PNG, _ALPHA_MASKS = 0, 1, 2, 3, 4, 5, 6
_RUNS: Final = {_RUNS_8: 8, _RUNS_4: 4}
"""Depths of the pixels in runs."""

_MASKED: Final = frozenset({_MASKS, _ALPHA_MASKS})
_FOUR_BYTES: Final = 32
_HIGH_DEPTHS: Final = frozenset({48, 64})
_MOST_COLOURS: Final = 65_536
"""More entries of a palette are none: Pillow's limit."""

_PALETTE_DEPTHS: Final = frozenset({1, 2, 4, 8})
_OF_DEPTH: Final = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_NO_MASKS: Final = (0, 0, 0, 0)
_MASKS_OF_NONE: Final = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
"""What four masks of 0 stand for in 32 bits, as everybody has it."""

Masks = tuple[int, int, int, int]
"""The bits of red, green, blue and alpha in a pixel."""


@dataclass(frozen=True, slots=True)
class Bitmap:
    """What the headers say. ``palette`` are three bytes of blue, green and red for each colour, in direct colour none.

    ``direction`` is 1 for rows from the top down, -1 for those from the bottom up, as Pillow has it. ``pixels`` is
    where these begin.
    """

    size: tuple[int, int]
    direction: int
    depth: int
    runs: bool
    masks: Masks
    palette: bytes
    pixels: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row with its padding, which the last one may lack."""
        return (self.size[0] * self.depth + 31) // 32 * 4

    @property
    def pixels_end(self) -> int:
        """Where the pixels must end in the file, if they are not runs."""
        width, height = self.size
        return self.pixels + self.row_bytes * (height - 1) + (width * self.depth + 7) // 8


def bitmap_of(original: Original) -> Bitmap:
    """Read the headers. Raises RenderRefused."""
    pixels_at, header_size = _unpacked(original, "<II", 10)
    fields = original[HEADER_AT + 4 : HEADER_AT + header_size]
    if len(fields) < header_size - 4:
        raise truncated()
    if header_size == _CORE_SIZE:
        (width, height, depth), compression, colours = _CORE.unpack(fields), _NONE, 0
    else:
        width, height, depth, compression, colours = _INFO.unpack(fields[: _INFO.size].ljust(_INFO.size, b"\0"))
    _check_kind(depth, compression, windows=header_size in _WINDOWS)
    if width <= 0 or not height or (depth in _PALETTE_DEPTHS and colours > _MOST_COLOURS):
        raise damaged()
    at = HEADER_AT + header_size
    masks, palette = _OF_DEPTH.get(depth, _NO_MASKS), b""
    if compression in _MASKED:
        masks, at = _masks(original, header_size, at, alpha=compression == _ALPHA_MASKS)
        masks = _MASKS_OF_NONE if masks == _NO_MASKS and depth == _FOUR_BYTES else masks
    if depth in _PALETTE_DEPTHS:
        entry, number = 3 if header_size == _CORE_SIZE else 4, colours or 1 << depth
        if pixels_at == at:  # as if there were no palette
            pixels_at += entry * number
        end = min(at + entry * number, pixels_at) if pixels_at else at + entry * number
        table = original[at:end]
        palette = b"".join(table[first : first + 3] for first in range(0, min(len(table), entry << depth), entry))
        at = end
    return Bitmap(
        (width, abs(height)),
        -1 if height > 0 else 1,
        depth,
        compression in _RUNS,
        masks,
        palette.ljust(3 << depth, b"\0") if palette or depth in _PALETTE_DEPTHS else b"",
        pixels_at or at,
    )


def _check_kind(depth: int, compression: int, *, windows: bool) -> None:
    if compression > (_ALPHA_MASKS if windows else _RUNS_4) or compression in {_JPEG, _PNG} or depth in _HIGH_DEPTHS:
        raise unsupported_kind(ImageFormat.BMP)
    if depth not in _PALETTE_DEPTHS and depth not in _OF_DEPTH:
        raise damaged()
    if depth != _RUNS.get(compression, depth) or (compression in _MASKED and depth in _PALETTE_DEPTHS):
        raise damaged()


def _masks(original: Original, header_size: int, after: int, *, alpha: bool) -> tuple[Masks, int]:
    """Read the masks, which are in the header or, as in the oldest, behind it. Return them and what comes after."""
    number = 4 if alpha or header_size > _V2_SIZE else 3
    found = _unpacked(original, f"<{number}I", HEADER_AT + _INFO_SIZE)
    after = max(after, HEADER_AT + _INFO_SIZE + 4 * number)
    return (found[0], found[1], found[2], found[3] if number == 4 else 0), after  # noqa: PLR2004 -- alpha


def _unpacked(original: Original, form: str, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, original, at)
    except struct.error:
        raise truncated() from None


def damaged() -> RenderRefused:
    """Return the refusal of a file with a header that makes no sense."""
    return RenderRefused("corrupt", "the BMP's header is damaged")


def truncated() -> RenderRefused:
    """Return the refusal of a file that lacks its end."""
    return RenderRefused("truncated", "the BMP ends in the middle of its data")

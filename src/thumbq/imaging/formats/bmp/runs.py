"""The runs of a BMP (RLE8 and RLE4, Windows GDI: Bitmap Compression)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.formats.bmp.bitmap import truncated

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.formats.bmp.bitmap import Bitmap

_END_OF_ROW, _END, _MOVE = 0, 1, 2
_TWO_A_BYTE: Final = 4
"""The depth of pixels of which a byte holds two."""


def unpacked(original: Original, bitmap: Bitmap) -> bytearray:
    """Return an index for each pixel, row by row as they are stored. What is passed over is 0.

    Raises RenderRefused when the file ends before the picture does.
    """
    (width, height), two = bitmap.size, bitmap.depth == _TWO_A_BYTE
    canvas = bytearray(width * height)
    at, x, y = bitmap.pixels, 0, 0
    while y < height and not (y == height - 1 and x >= width and at + 1 >= len(original)):
        number, value = _pair(original, at)
        at += 2
        if number == 0 and value == _END:
            break
        if number == 0 and value == _END_OF_ROW:
            x, y = 0, y + 1
        elif number == 0 and value == _MOVE:
            right, along = _pair(original, at)
            x, y, at = x + right, y + along, at + 2
        else:
            if number:
                pixels = _run(number, value, two=two)
            else:
                pixels, at = _literals(original, at, value, two=two)
            room = max(0, min(len(pixels), width - x))
            canvas[y * width + x : y * width + x + room] = pixels[:room]
            x += len(pixels)
    return canvas


def _pair(original: Original, at: int) -> tuple[int, int]:
    pair = original[at : at + 2]
    if len(pair) < 2:  # noqa: PLR2004 -- see the name
        raise truncated()
    return pair[0], pair[1]


def _run(number: int, value: int, *, two: bool) -> bytes:
    return (bytes((value >> 4, value & 15)) * (number // 2 + 1))[:number] if two else bytes((value,)) * number


def _literals(original: Original, at: int, number: int, *, two: bool) -> tuple[bytes, int]:
    """Return so many pixels, and what comes after them: they fill words of 16 bits."""
    size = (number + 1) // 2 if two else number
    pixels = original[at : at + size]
    if len(pixels) < size:
        raise truncated()
    if two:
        pixels = bytes(half for octet in pixels for half in (octet >> 4, octet & 15))[:number]
    return pixels, at + size + size % 2

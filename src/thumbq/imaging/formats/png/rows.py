"""Missing rows of a PNG: Pillow leaves them black and raises nothing."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, cast

from PIL import Image

from thumbq.imaging.formats.png.chunks import chunks
from thumbq.imaging.pillowpatches import prefill

if TYPE_CHECKING:
    from PIL import ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_MARKS: Final[dict[str, int | tuple[int, ...]]] = {
    "1": 255,
    "L": 165,
    "P": 165,
    "I;16": 0xA55A,
    "I": 0xA55A,
    "LA": (165, 90),
    "RGB": (165, 90, 201),
    "RGBA": (165, 90, 201, 77),
}
"""A colour for each mode that few pictures have all along their last row."""

_INTERLACE_AT: Final = 28
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Start and step of each pass, across and down (PNG, third edition, 8.1)."""

_PIECE: Final = 1 << 18


def mark(image: ImageFile.ImageFile) -> None:
    """Colour the last row of a PNG that is about to be loaded: a row in the data replaces it."""
    prefill(image, Image.new(image.mode, (image.width, 1), _MARKS[image.mode]), _last_rows(image))


def all_there(image: ImageFile.ImageFile, original: Original, header: Header) -> bool:
    """Return whether the data of a marked and loaded PNG held all rows. Cheap unless the last row has the mark."""
    expected = _MARKS[image.mode]
    levels = expected if isinstance(expected, tuple) else (expected,)
    for top in _last_rows(image):
        found = image.crop((0, top, image.width, top + 1)).getextrema()
        bands = cast("tuple[tuple[int, int], ...]", found if isinstance(expected, tuple) else (found,))
        if all(band == (level, level) for band, level in zip(bands, levels, strict=True)):
            return _inflated_at_least(original, announced_bytes(original, header))
    return True


def _last_rows(image: Image.Image) -> range:
    """Return the last two rows: of an interlaced picture the last odd one comes in the last pass."""
    return range(max(0, image.height - 2), image.height)


def announced_bytes(original: Original, header: Header) -> int:
    """Return the size of all rows before they are compressed, each with the byte that names its filter."""
    # A transparent colour is not among the samples of a pixel.
    bits = (header.channels - header.color_key) * header.bits
    passes = _ADAM7 if original[_INTERLACE_AT] else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        width, height = -(-(header.width - left) // across), -(-(header.height - top) // down)
        if width > 0 and height > 0:
            total += height * (1 + -(-width * bits // 8))
    return total


def _inflated_at_least(original: Original, announced: int) -> bool:
    inflate, got = zlib.decompressobj(), 0
    for chunk in chunks(original):
        if chunk.kind != b"IDAT":
            continue
        piece = original[chunk.at : chunk.end]
        while piece and not inflate.eof and got < announced:
            got += len(inflate.decompress(piece, _PIECE))
            piece = inflate.unconsumed_tail
    return got >= announced

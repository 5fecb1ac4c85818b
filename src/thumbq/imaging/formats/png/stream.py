"""The bytes of a PNG for its decoder: the picture, and none of what lies around it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from thumbq.imaging.formats.png.chunks import BEHIND_HEADER, CHUNK_START
from thumbq.imaging.splicedfile import spliced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging import Original
    from thumbq.imaging.header import PngHeader
    from thumbq.imaging.splicedfile import Part

_CHECKSUM: Final = bytes(4)
"""Of pixels that are cut or inflated: no decoder reads it."""

_END: Final = CHUNK_START.pack(0, b"IEND") + b"\xae\x42\x60\x82"


def open_png(original: Original, png: PngHeader, inflated: Sequence[bytes | memoryview] | None = None) -> IO[bytes]:
    """Return a file of the header, the palette and the transparency, the EXIF, and all pixels that are there.

    ``inflated`` is a chunk that takes the place of the pixels.
    """
    exif = [(at - CHUNK_START.size, end + 4) for kind, (at, end) in png.told.items() if kind == b"eXIf"]
    parts: list[Part] = [slice(*each) for each in ((0, BEHIND_HEADER), *png.shared, *exif)]
    if inflated is not None:
        return spliced(original, [*parts, *inflated, _CHECKSUM, _END])
    parts += [slice(*each) for each in png.pixels]
    if png.cut is not None:
        start, end = png.cut
        parts += [CHUNK_START.pack(end - start, b"IDAT"), slice(start, end), _CHECKSUM]
    return spliced(original, [*parts, _END])

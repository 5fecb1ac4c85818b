"""The bytes of a PNG for its decoder: the picture, and none of what lies around it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from thumbq.imaging.formats.png.chunks import BEHIND_HEADER, CHUNK_START
from thumbq.imaging.splicedfile import spliced

if TYPE_CHECKING:
    from thumbq.imaging import Original
    from thumbq.imaging.header import PngHeader

_CHECKSUM: Final = bytes(4)
"""Of pixels that are cut: no decoder reads it, since they do not end."""

_END: Final = CHUNK_START.pack(0, b"IEND") + b"\xae\x42\x60\x82"


def open_png(original: Original, png: PngHeader) -> IO[bytes]:
    """Return a file of the header, the palette and the transparency, the EXIF, and all pixels that are there."""
    exif = [(at - CHUNK_START.size, end + 4) for kind, (at, end) in png.told.items() if kind == b"eXIf"]
    ranges = [(0, BEHIND_HEADER), *png.shared, *exif, *png.pixels]
    parts: list[bytes | slice] = [slice(*each) for each in ranges]
    if png.cut is not None:
        start, end = png.cut
        parts += [CHUNK_START.pack(end - start, b"IDAT"), slice(start, end), _CHECKSUM]
    return spliced(original, [*parts, _END])

"""The formats that are let in, told by their first bytes alone: never by a name or a client's word."""

from __future__ import annotations

from enum import Enum
from typing import Final

SNIFF_BYTES: Final = 32
"""How many bytes ``sniff`` needs to see."""


class ImageFormat(Enum):
    """An input format, by the name that Pillow gives it."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    AVIF = "AVIF"
    HEIF = "HEIF"
    TIFF = "TIFF"
    BMP = "BMP"

    @property
    def content_type(self) -> str:
        """The registered media type."""
        return f"image/{self.value.lower()}"


MEDIA_TYPES: Final = frozenset({*(known.content_type for known in ImageFormat), "image/apng", "image/heic"})
"""The media types of what is taken, as clients name it beforehand: browsers say image/heic of a phone's photo."""

# ISO/IEC 14496-12: a file type box names the brand; MIAF and HEIF register these (AVIF 1.1, ISO/IEC 23008-12).
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_PREFIXES: Final = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"II*\x00", ImageFormat.TIFF),
    (b"MM\x00*", ImageFormat.TIFF),
)


def sniff(head: bytes | bytearray | memoryview) -> ImageFormat | None:
    """Return the format that the first bytes announce, or None when it is none that thumbq takes."""
    start = bytes(head[:SNIFF_BYTES])
    for prefix, image_format in _PREFIXES:
        if start.startswith(prefix):
            return image_format
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if start[4:8] == b"ftyp":
        return _iso_media(start)
    # "BM" alone is two letters of any text: the reserved words and the header's size must fit too.
    if start[:2] == b"BM" and start[6:10] == bytes(4) and start[14:18] in _BMP_HEADER_SIZES:
        return ImageFormat.BMP
    return None


_BMP_HEADER_SIZES: Final = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))


def _iso_media(start: bytes) -> ImageFormat | None:
    major = start[8:12]
    compatible = {start[at : at + 4] for at in range(16, len(start), 4)}
    if major in _AVIF_BRANDS or (major in {b"mif1", b"msf1"} and compatible & _AVIF_BRANDS):
        return ImageFormat.AVIF
    return ImageFormat.HEIF if major in _HEIF_BRANDS else None

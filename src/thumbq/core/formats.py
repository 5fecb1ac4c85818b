"""The image formats that are known: how each is recognised, named and, where thumbq writes it, stored.

A format is one entry here and one module or folder of its name in ``imaging/formats``, which does the rest. Whether a
file is an image is decided by its first bytes alone, never by a name or by what a client says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

SNIFF_BYTES: Final = 4096
"""How many bytes ``sniff`` needs: an AVIF's file type box may have a thousand brands."""


@dataclass(frozen=True, slots=True)
class Output:
    """A format's declaration as an output: the file name extension, and the longest side in pixels.

    ``alpha`` says whether it holds transparency, ``animated`` whether it holds animations.
    """

    extension: str
    max_side: int
    alpha: bool = True
    animated: bool = True


@dataclass(frozen=True, slots=True)
class Declaration:
    """A format's registered media type and the pattern that its first ``SNIFF_BYTES`` match.

    ``also`` are further media types that clients use for it, ``covers`` what an input of it may be, in words for the
    documentation. ``animated`` says whether its animations are read; ``output`` is None where it is only read.
    """

    media_type: str
    magic: bytes
    covers: str = ""
    also: tuple[str, ...] = ()
    animated: bool = False
    output: Output | None = None


class ImageFormat(Enum):
    """The formats, by the names that Pillow gives them."""

    # The longest sides are those of libjpeg, the PNG specification and libwebp; AVIF's is thumbq's own.
    JPEG = Declaration(
        "image/jpeg",
        rb"\xff\xd8\xff",
        covers="an MPO or a photo with a gain map is the still that it shows",
        output=Output("jpg", 65_500, alpha=False, animated=False),
    )
    PNG = Declaration(
        "image/png",
        rb"\x89PNG\r\n\x1a\n",
        covers="APNG",
        also=("image/apng",),
        animated=True,
        output=Output("png", (1 << 31) - 1),
    )
    GIF = Declaration("image/gif", rb"GIF8[79]a", animated=True)
    WEBP = Declaration("image/webp", rb"RIFF.{4}WEBP", animated=True, output=Output("webp", 16_383))
    # A file type box names the brands (ISO/IEC 14496-12); AVIF 1.1 and ISO/IEC 23008-12 register these. An AVIF's own
    # brand may stand anywhere among the compatible ones, when the major one is not that of a HEIC.
    AVIF = Declaration(
        "image/avif",
        rb".{4}ftyp(?:avi[fs]|(?!he[iv][cxms]).{8}(?:.{4})*?avi[fs])",
        animated=True,
        output=Output("avif", 16_384),
    )
    HEIF = Declaration(
        "image/heif",
        rb".{4}ftyp(?:he[iv][cxms]|m[is]f1)",
        covers="HEIC, the photos of phones",
        also=("image/heic",),
    )
    TIFF = Declaration(
        "image/tiff",
        rb"II\*\0|MM\0\*|II\+\0\x08\0\0\0|MM\0\+\0\x08\0\0",
        covers="its first page, also of a BigTIFF",
    )
    # "BM" alone is two letters of any text: the header's size must fit too. The reserved words may be anything.
    BMP = Declaration("image/bmp", rb"BM.{12}[\x0c\x10\x14\x18\x1c\x20\x24\x28\x2c\x30\x34\x38\x3c\x40\x6c\x7c]\0{3}")

    @property
    def content_type(self) -> str:
        """The registered media type."""
        return self.value.media_type

    @property
    def output(self) -> Output | None:
        """What it is as an output; None for a format that is only read."""
        return self.value.output


MEDIA_TYPES: Final = frozenset(name for known in ImageFormat for name in (known.content_type, *known.value.also))
"""The media types of inputs, as clients name them beforehand: browsers say image/heic of a phone's photo."""

OUTPUTS: Final = {known.name.lower(): known.output for known in ImageFormat if known.output is not None}
"""The formats that are written, by the names that presets use."""

EXTENSIONS: Final = {f"image/{name}": output.extension for name, output in OUTPUTS.items()}
"""The file name extension of each media type that is written."""

AUTO: Final = "auto"
"""The name by which a preset leaves the format to the picture."""


def output_name(name: str, *, lossless: bool, keeps_more: bool) -> str:
    """Return the output format of a preset's rendition by its name.

    ``auto`` is JPEG, or where transparency or frames are to be kept (``keeps_more``) WebP, with ``lossless`` PNG.
    """
    if name != AUTO:
        return name
    if not keeps_more:
        return "jpeg"
    return "png" if lossless else "webp"


_FILE_TYPE: Final = b"ftyp"
_LEAST: Final = 16
"""Bytes of a file type box up to its compatible brands."""

# A file that begins like a TIFF is one, whatever comes later: patterns that leave the start open come last.
PATTERNS: Final = tuple(
    (known.value.magic.decode("ascii"), known)
    for known in sorted(ImageFormat, key=lambda known: known.value.magic.startswith(b"."))
)
"""The patterns in the order in which they are tried."""

_MAGIC: Final = tuple((re.compile(pattern.encode("ascii"), re.DOTALL), known) for pattern, known in PATTERNS)


def sniff(head: bytes | bytearray | memoryview) -> ImageFormat | None:
    """Return the format that a file's first bytes announce, or None for anything else."""
    start = bytes(head[:SNIFF_BYTES])
    if start[4:8] == _FILE_TYPE:
        start = start[: max(_LEAST, int.from_bytes(start[:4], "big"))]
    return next((known for magic, known in _MAGIC if magic.match(start)), None)

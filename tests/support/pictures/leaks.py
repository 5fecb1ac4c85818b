"""What is in an output besides pixels: every part of the file must be one that pixels need.

The lists say what may be there, not what may not: what nobody thought of is a leak too.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from PIL import ExifTags, Image

from support.pictures.containers import ICC, boxes, jpeg_segments, png_chunks, riff_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY: Final = b"CanaryBird"
"""What tests plant in metadata. An output that has it anywhere leaks."""

COPYRIGHT_TAGS: Final = frozenset({ExifTags.Base.Artist, ExifTags.Base.Copyright})

OWN_CHOICES: Final = frozenset({"a resolution", "a colour profile", "a chunk on how it is shown"})
"""What thumbq leaves out by its own choice: it names nobody, and others may say it."""

# SOF0 to SOF2, DHT, EOI, SOS, DQT, DRI, and APP0 and APP14, which are looked into.
_JPEG: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE})
_JFIF: Final = re.compile(rb"JFIF\0\x01[\0\x01\x02](.{5})\0\0", re.DOTALL)
_NO_RESOLUTION: Final = b"\0\0\x01\0\x01"
_PNG_NAMES: Final = {b"pHYs": "a resolution", b"iCCP": "a colour profile"} | dict.fromkeys(
    (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"sBIT", b"bKGD", b"orNT"), "a chunk on how it is shown"
)
_PNG: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})
_WEBP: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS: Final = 0x0C
_WEBP_PROFILE_FLAG: Final = 0x20
_ISO: Final = frozenset(b"ftyp meta moov mdat".split())
_ISO_NESTED: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
_ISO_DATED: Final = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_ISO_WITH_METADATA: Final = frozenset({b"udta", b"uuid"})
_ISO_PROFILES: Final = frozenset({b"rICC", b"prof"})
_ITEMS: Final = frozenset({b"av01", b"grid"})


def leaks(body: bytes, *, keep_copyright: bool = False) -> list[str]:
    """Name what a JPEG, PNG, WebP or AVIF holds besides its pixels; with ``keep_copyright`` that note may be there.

    Some of it is of OWN_CHOICES.
    """
    found = [f"the planted {CANARY.decode()}"] if CANARY in body else []
    if body.startswith(b"\xff\xd8"):
        found += _in_jpeg(body)
    elif body.startswith(b"\x89PNG"):
        kinds = [kind for kind, _ in png_chunks(body) if kind not in _PNG]
        found += [_PNG_NAMES.get(kind, f"PNG chunk {kind!r}") for kind in kinds]
        found += ["something after the end"] * (not body.endswith(b"IEND\xae\x42\x60\x82"))
    elif body.startswith(b"RIFF"):
        found += _in_webp(body)
    else:
        found += _in_iso_media(body)
    exif = _exif(body)
    if keep_copyright:
        allowed = {"segment 0xe1", "PNG chunk b'eXIf'", "WebP chunk b'EXIF'", "WebP metadata flags", "item b'Exif'"}
        found = [leak for leak in found if leak not in allowed]
        exif -= COPYRIGHT_TAGS
    return found + [f"EXIF tag {tag}" for tag in sorted(exif)]


def _in_jpeg(body: bytes) -> Iterator[str]:
    length = 2
    for marker, content in jpeg_segments(body):
        length += 2 if marker == 0xD9 else 4 + len(content)
        if marker == ICC and content.startswith(b"ICC_PROFILE\0"):
            yield "a colour profile"
        elif marker not in _JPEG:
            yield f"segment {marker:#x}"
        elif marker == 0xE0:
            yield from _in_jfif(content)
        elif marker == 0xEE and not content.startswith(b"Adobe"):
            yield "segment 0xee"
        elif marker == 0xD9 and length != len(body):
            yield "something after the end"


def _in_jfif(content: bytes) -> Iterator[str]:
    if not (header := _JFIF.fullmatch(content)):
        yield "a JFIF header that says more than that it is one"
    elif header[1] != _NO_RESOLUTION:
        yield "a resolution"


def _in_webp(body: bytes) -> Iterator[str]:
    if len(body) != 8 + int.from_bytes(body[4:8], "little"):
        yield "something after the end"
    for kind, content in riff_chunks(body):
        if kind == b"ICCP":
            yield "a colour profile"
        elif kind not in _WEBP:
            yield f"WebP chunk {kind!r}"
        if kind == b"VP8X" and content[0] & _WEBP_PROFILE_FLAG:
            yield "a colour profile"
        if kind == b"VP8X" and content[0] & _WEBP_METADATA_FLAGS:
            yield "WebP metadata flags"
        if kind == b"ANMF":
            yield from (f"WebP chunk {inner!r}" for inner, _ in riff_chunks(content, 16) if inner not in _WEBP)


def _in_iso_media(body: bytes, start: int = 0, end: int | None = None, *, top: bool = True) -> Iterator[str]:
    for kind, first, last in boxes(body, start, end):
        if top and kind not in _ISO:
            yield f"box {kind!r}"
        if kind in _ISO_WITH_METADATA:
            yield f"box {kind!r}"
        if kind == b"colr" and body[first : first + 4] in _ISO_PROFILES:
            yield "a colour profile"
        if kind in _ISO_DATED and any(body[first + 4 : first + (20 if body[first] else 12)]):
            yield f"the time of its making in {kind!r}"
        if kind == b"infe" and body[first + 8 : first + 12] not in _ITEMS:
            yield f"item {body[first + 8 : first + 12]!r}"
        if kind in _ISO_NESTED:
            yield from _in_iso_media(body, first + _ISO_NESTED[kind], last, top=False)
        if kind == b"iinf":
            yield from _in_iso_media(body, first + (8 if body[first] else 6), last, top=False)


def _exif(body: bytes) -> set[int]:
    """Return the tags that Pillow finds; an orientation of 1, which it makes up for AVIF, is none."""
    with Image.open(io.BytesIO(body)) as image:
        exif = image.getexif()
        return {tag for tag, value in exif.items() if (tag, value) != (ExifTags.Base.Orientation, 1)}

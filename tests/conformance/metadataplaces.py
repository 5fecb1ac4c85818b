"""Claims: canaries in each place that a file has for metadata; none may come through."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from conformance import checks, pictures
from conformance.privacy import WORD, pixels_claim
from fuzz import canaries
from support.pictures import animations, images
from support.pictures.containers import (
    COMMENT,
    EXIF,
    icc_segments,
    jpeg_with,
    png_with,
    riff_chunks,
    webp_file,
)
from support.pictures.leaks import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.claims import Claim


def claims() -> Iterator[Claim]:
    yield from _places()


def _places() -> Iterator[Claim]:
    """Yield one claim per place; size and format stay, so that passing the file through would show."""
    for image_format, places, output in (
        ("jpeg", _in_jpeg(), "jpeg"),
        ("png", _in_png(), "png"),
        ("gif", _in_gif(), "webp"),
        ("webp", _in_webp(), "webp"),
        ("bmp", _in_bmp(), "png"),
    ):
        for place, data in places.items():
            yield pixels_claim(
                f"{image_format}-{place}",
                f"a {image_format} with a canary: {place.replace('-', ' ')}",
                partial(bytes, data),
                {"fit": "none", "format": output},
                checks.is_upright(),
            )


def _in_jpeg() -> dict[str, bytes]:
    bare = pictures.in_format("JPEG")
    segments: dict[str, tuple[int, bytes]] = {
        "exif": (EXIF, canaries.exif()),
        "xmp": (EXIF, b"http://ns.adobe.com/xap/1.0/\0" + canaries.xmp()),
        "extended-xmp": (EXIF, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + canaries.xmp()),
        "iptc": (0xED, b"Photoshop 3.0\0" + canaries.photoshop()),
        "picture-info": (0xEC, b"[picture info]\n" + WORD),
        "jumbf": (0xEB, b"JP\0\1\0\0\0\1" + struct.pack(">I4s", 8 + len(WORD), b"jumb") + WORD),
        "jfxx-thumbnail": (0xE0, b"JFXX\0\x10" + images.jpeg(Image.new("RGB", (8, 8)), comment=WORD)),
        "unknown-application": (0xEF, WORD),
        "comment": (COMMENT, WORD),
    }
    planted = {name: jpeg_with(bare, segment) for name, segment in segments.items()}
    planted["profile"] = jpeg_with(bare, *icc_segments(canaries.icc()))
    planted["after-the-end"] = bare + WORD
    second = images.jpeg(Image.new("RGB", (48, 32)), comment=WORD, exif=canaries.exif())
    planted["second-picture"] = bare + second
    jfif = bytearray(bare)
    jfif[2 : 4 + 16] = b"\xff\xe0" + struct.pack(">H", 16 + 12) + b"JFIF\0\1\1\0\0\1\0\1\2\2" + WORD[:12]
    planted["jfif-thumbnail"] = bytes(jfif)
    return planted


def _in_png() -> dict[str, bytes]:
    bare = pictures.in_format("PNG")
    chunks: dict[str, tuple[bytes, bytes]] = {
        "text": (b"tEXt", b"Comment\0" + WORD),
        "compressed-text": (b"zTXt", b"Author\0\0" + zlib.compress(WORD)),
        "international-text": (b"iTXt", b"Title\0\0\0en\0" + WORD + b"\0" + WORD),
        "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + canaries.xmp()),
        "exif": (b"eXIf", canaries.exif().removeprefix(b"Exif\0\0")),
        "exif-as-text": (b"tEXt", b"Raw profile type exif\0\nexif\n 10\n" + canaries.exif().hex().encode()),
        "profile": (b"iCCP", CANARY + b"\0\0" + zlib.compress(canaries.icc())),
        "palette-name": (b"sPLT", CANARY + b"\0\x08" + bytes(6)),
        "private-chunk": (b"prVt", WORD),
        "time": (b"tIME", b"\x07\xea\1\2\3\4\5"),
        "resolution": (b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1"),
    }
    planted = {name: png_with(bare, chunk) for name, chunk in chunks.items()}
    planted["text-after-pixels"] = png_with(bare, chunks["text"], before=b"IEND")
    planted["after-the-end"] = bare + WORD
    return planted


def _in_gif() -> dict[str, bytes]:
    size = pictures.WIDTH, pictures.HEIGHT
    few = images.scene(*size).quantize(100).convert("RGBA")
    frames = [animations.Frame(pictures.rgba(few))]
    block = bytes([len(WORD)]) + WORD + b"\0"
    plain_text = b"\x21\x01\x0c" + struct.pack("<4H4B", 0, 0, 8, 8, 8, 8, 0, 1) + block
    xmp = b"\x21\xff\x0bXMP DataXMP" + canaries.xmp() + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return {
        "comment": animations.gif(size, frames, more=b"\x21\xfe" + block),
        "xmp": animations.gif(size, frames, more=xmp),
        "application": animations.gif(size, frames, more=b"\x21\xff\x0bSECRETAPP10" + block),
        "plain-text": animations.gif(size, frames, more=plain_text),
        "after-the-end": animations.gif(size, frames) + WORD,
    }


def _in_webp() -> dict[str, bytes]:
    metadata = {"exif": canaries.exif(), "xmp": canaries.xmp(), "icc_profile": canaries.icc()}
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    planted = {
        name: images.encoded(scene, "WEBP", quality=92, **{option: metadata[option]})
        for name, option in (("exif", "exif"), ("xmp", "xmp"), ("profile", "icc_profile"))
    }
    parts = riff_chunks(planted["exif"])
    planted["unknown-chunk"] = webp_file([*parts, (b"CNRY", WORD)])
    planted["after-the-end"] = pictures.in_format("WEBP") + WORD
    return planted


def _in_bmp() -> dict[str, bytes]:
    bare = pictures.in_format("BMP")
    (start,) = struct.unpack_from("<I", bare, 10)
    gap = bytearray(bare[:start] + WORD + bare[start:])
    struct.pack_into("<I", gap, 10, start + len(WORD))
    return {"gap": bytes(gap), "after-the-end": bare + WORD}

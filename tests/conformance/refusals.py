"""Claims: a file of no supported format is refused."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from conformance import bombs, pictures
from conformance.claims import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def claims() -> Iterator[Claim]:
    yield from _turned_away()
    yield from _unknown_kinds()


def _turned_away() -> Iterator[Claim]:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n%%EOF\n"
    others: Mapping[str, tuple[bytes, str]] = {
        "text": (b"just some words, not a picture at all " * 3, "anybody can upload anything"),
        "text-beginning-BM": (b"BM is how this text begins, and a BMP as well " * 3, "two letters are no magic"),
        "empty": (b"", "an upload can be empty"),
        "one-byte": (b"\xff", "an upload can be cut"),
        "svg": (
            b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
            "SVG has scripts and links",
        ),
        "html": (b"<!DOCTYPE html><html><body>hello</body></html>", "a page named .jpg"),
        "pdf": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n", "Pillow and ImageMagick hand PDF to Ghostscript"),
        "eps": (eps, "Pillow hands an EPS named .jpg to Ghostscript; CVE-2023-36664"),
        "psd": (b"8BPS\0\1" + bytes(60), "not a format for photos on pages"),
        "ico": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(60), "not a format for photos on pages"),
        "tga": (
            bytes((0, 0, 2)) + bytes(9) + struct.pack("<HHBB", 20000, 14000, 24, 0) + bytes(40),
            "18 bytes are enough for Pillow to see a picture",
        ),
        "ppm": (b"P6 2 2 255\n" + bytes(12), "not a format for photos on pages"),
        "jpeg-2000": (_saved("JPEG2000"), "not a format for photos on pages"),
        "jpeg-xl": (b"\xff\x0a" + bytes(60), "no decoder for it is among the dependencies"),
        "mp4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60), "a video has the boxes of a HEIC"),
        "xbm": (b"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {0};", "text that is a picture"),
        "zip": (b"PK\3\4" + zlib.compress(bytes(100)), "an archive"),
    }
    for name, (data, why) in others.items():
        yield Claim(
            name=f"not-{name}",
            given=f"{name.replace('-', ' ')}, which is no image that is taken",
            make=partial(bytes, data),
            recipe={"width": 60, "height": 60},
            rule="what is not on the list of formats is refused, by its bytes and not by its name",
            reason=why,
            refused=frozenset({"unsupported-format"}),
        )
    yield Claim(
        name="not-jpeg-of-2-components",
        given="a JPEG of two components, which stand for no colours",
        make=_two_components,
        recipe={"width": 60, "height": 60},
        rule="a JPEG that means nothing is refused",
        reason="JFIF 1.02 has one or three components, Adobe's also four",
        refused=frozenset({"unsupported-format", "corrupt"}),
    )


def _unknown_kinds() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, bytes]] = {
        "tiff-float-rgb": ("a TIFF of RGB in floating point", _tiff(bits=32, sample_format=3)),
        "tiff-webp": ("a TIFF compressed as WebP", _tiff(compression=50001)),
        "tiff-jpeg-xl": ("a TIFF compressed as JPEG XL", _tiff(compression=50002)),
        "heic-of-av1": (
            "an AV1 picture whose brand is heic",
            pictures.in_format("AVIF").replace(b"ftypavif", b"ftypheic"),
        ),
    }
    for name, (given, data) in cases.items():
        yield Claim(
            name=f"not-{name}",
            given=given,
            make=partial(bytes, data),
            recipe={"width": 60, "height": 60},
            rule="a whole file of a kind that is not taken is refused as such, and not called damaged",
            reason="whoever reads 'corrupt' looks for a fault in the upload; Pillow has one word for both",
            refused=frozenset({"unsupported-format"}),
        )


def _tiff(*, bits: int = 8, sample_format: int = 1, compression: int = 1, side: int = 16) -> bytes:
    pixels = bytes(side * side * 3 * bits // 8)
    tags = (
        (256, side), (257, side), (258, bits), (259, compression), (262, 2), (273, 8), (277, 3), (278, side),
        (279, len(pixels)), (339, sample_format),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def _saved(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, image_format)
    return file.getvalue()


def _two_components() -> bytes:
    frame = struct.pack(">BHHB", 8, 64, 64, 2) + b"\1\x11\0\2\x11\0"
    return bombs.grey_jpeg(64, 64).replace(
        b"\xff\xc0\0\x0b" + struct.pack(">BHHB", 8, 64, 64, 1) + b"\1\x11\0",
        b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame,
    )

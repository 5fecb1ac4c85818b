"""Claims: a file made to cost much is refused before it does, and a merely large one is rendered."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from conformance import bombs, checks, pictures
from conformance.claims import Claim
from support.pictures import animations, images
from support.pictures.containers import EXIF, jpeg_with, png_chunks, png_file, png_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MOVING: Final[Mapping[str, Any]] = {"fit": "none", "animated": True, "format": "webp"}


def claims() -> Iterator[Claim]:
    yield from _refused()
    yield from _harmless()
    yield from _large()


def _refused() -> Iterator[Claim]:
    large = {"too-large"}
    short = {"too-large", "truncated", "corrupt"}
    cases: Mapping[str, tuple[str, Callable[[], bytes], set[str], str]] = {
        "png-65536": ("a PNG of 100 bytes, 65,536 a side", partial(images.png_claiming, 65536, 65536), large, "12 GiB"),
        "png-huge": (
            "a PNG that says 2^31 - 1 a side", partial(images.png_claiming, 2**31 - 1, 2**31 - 1), large, "2^64 bytes",
        ),
        "png-1-bit": ("a PNG of 1 bit, 40,000 a side", partial(_one_bit_png, 40000), large, "a byte a pixel"),
        "webp-16383": ("a whole WebP of 40 bytes, 16,383 a side", partial(bombs.webp, 16383, 16383), large, "1 GiB"),
        "webp-9400": ("a whole WebP of 40 bytes, 9,400 a side", partial(bombs.webp, 9400, 9400), large, "1.35 GB"),
        "gif-65535": ("a GIF of 800 bytes, 65,535 a side", partial(bombs.gif, 65535, 65535), large, "4 GiB"),
        "bmp-40000": ("a BMP of 150 bytes, 40,000 a side", partial(bombs.bmp, 40000, 40000), short, "4.5 GiB"),
        "tiff-60000": ("a TIFF of 200 bytes, 60,000 a side", partial(bombs.tiff, 60000, 60000), short, "3.4 GiB"),
        "jpeg-progressive-88mp": (
            "a progressive JPEG of 300 bytes, 9,400 a side", partial(bombs.progressive_jpeg, 9400, 9400), short,
            "coefficients are held at full size whatever the scale: 688 MB, and libjpeg succeeds",
        ),
        "jpeg-progressive-65500": (
            "a progressive JPEG of 300 bytes, 65,500 a side", partial(bombs.progressive_jpeg, 65500, 65500), short,
            "8 GiB of coefficients",
        ),
        "jpeg-2010-scans": (
            "a progressive JPEG of 2,010 scans", partial(bombs.progressive_jpeg, 64, 64, 2010, blocks=64),
            {"too-many-scans"}, "63 s on a large one; libjpeg-turbo's Two Issues with the JPEG Standard",
        ),
        "avif-huge": ("an AVIF that says 50,000 a side", partial(_extent, "AVIF"), short, "ispe is not the picture"),
        "heic-huge": ("a HEIC that says 50,000 a side", partial(_extent, "HEIC"), short, "ispe is not the picture"),
        "far-frame-animated": (
            "a GIF of 10 by 10 whose second frame lies at 60,000", _far, short | {"too-many-frames"},
            "Pillow enlarges the canvas",
        ),
        "apng-of-4-billion-frames": (
            "an APNG that says 2^31 - 1 frames", _many_frames, short | {"too-many-frames"}, "a count costs four bytes",
        ),
    }  # fmt: skip
    for name, (given, make, codes, why) in cases.items():
        moving = name in {"far-frame-animated", "apng-of-4-billion-frames"}
        yield Claim(
            name=name,
            given=given,
            make=make,
            recipe=_MOVING if moving else {"width": 60, "height": 60},
            rule="what would cost more than a render may is refused by its header",
            reason=f"decompression bomb: {why}",
            checks=(checks.is_sized(10, 10),) if moving else (),
            refused=frozenset(codes),
        )


def _one_bit_png(side: int) -> bytes:
    parts = png_chunks(images.png_claiming(side, side))
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return png_file([(b"IHDR", header), *parts[1:]])


def _extent(image_format: str) -> bytes:
    data = pictures.in_format(image_format)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 50000, 50000) + data[at + 8 :]


def _far() -> bytes:
    near = animations.Frame(animations.plain((10, 10), (200, 30, 30)))
    far = animations.Frame(animations.plain((10, 10), (30, 30, 200)), (60000, 60000))
    return animations.gif((10, 10), [near, far])


def _many_frames() -> bytes:
    frames = [animations.Frame(animations.plain((10, 10), (200, 30, 30)))]
    parts = png_chunks(animations.apng((10, 10), frames))
    return png_file([(kind, struct.pack(">II", 2**31 - 1, 0) if kind == b"acTL" else body) for kind, body in parts])


def _harmless() -> Iterator[Claim]:
    """Yield claims about traps beside the picture: they may be refused, or do nothing."""
    cases: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
        "png-text-bomb": (
            "a PNG with a text of 30 MB in 30 kB",
            lambda: png_with(pictures.in_format("PNG"), (b"zTXt", b"Comment\0\0" + _bomb())),
            "CVE-2014-9601",
        ),
        "png-profile-bomb": (
            "a PNG with a profile of 30 MB in 30 kB",
            lambda: png_with(pictures.in_format("PNG"), (b"iCCP", b"icc\0\0" + _bomb())),
            "CVE-2014-9601 for text; iCCP is compressed alike",
        ),
        "exif-loop": ("a JPEG whose EXIF directory points to itself", _exif_loop, "readers recurse"),
        "exif-huge-count": ("a JPEG whose EXIF has a tag of 4 billion values", _exif_huge, "readers allocate"),
        "tiff-loop": (
            "a TIFF whose next page is the same page", partial(bombs.tiff, 60, 40, next_at=8, strip=bytes(2400)),
            "python-pillow/Pillow#5472: pages were counted for ever",
        ),
        "gif-comments": ("a GIF with 100,000 empty comments", _comments, "a block costs three bytes"),
        "jpeg-segments": (
            "a JPEG with 3,000 segments of metadata",
            lambda: jpeg_with(pictures.in_format("JPEG"), *[(EXIF, b"anything")] * 3000),
            "readers search from the start for each",
        ),
        "profile-of-nothing": (
            "a JPEG whose profile says that it has 255 pieces",
            lambda: jpeg_with(pictures.in_format("JPEG"), (0xE2, b"ICC_PROFILE\0\1\xffwords")),
            "ICC.1:2022, B.4",
        ),
    }  # fmt: skip
    for name, (given, make, why) in cases.items():
        yield Claim(
            name=name,
            given=given,
            make=make,
            recipe={"width": 60, "height": 60},
            rule="a trap beside the picture is not stepped into",
            reason=why,
            checks=(checks.is_sized(60, 40), *((checks.is_upright(),) if "tiff" not in name else ())),
            refused=frozenset({"corrupt", "too-large"}) if name.startswith(("png", "gif")) else frozenset(),
        )


def _bomb() -> bytes:
    return zlib.compress(bytes(30_000_000), 9)


def _exif_loop() -> bytes:
    entries = struct.pack("<H", 2) + struct.pack("<HHII", 274, 3, 1, 1) + struct.pack("<HHII", 0x8769, 4, 1, 8)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries + struct.pack("<I", 8)
    return jpeg_with(pictures.in_format("JPEG"), (EXIF, exif))


def _exif_huge() -> bytes:
    entry = struct.pack("<H", 1) + struct.pack("<HHII", 274, 3, 0xFFFFFFFF, 8)
    return jpeg_with(pictures.in_format("JPEG"), (EXIF, b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)))


def _comments() -> bytes:
    few = pictures.rgba(images.scene(pictures.WIDTH, pictures.HEIGHT).quantize(100))
    frames = [animations.Frame(few)]
    return animations.gif((pictures.WIDTH, pictures.HEIGHT), frames, more=b"\x21\xfe\0" * 100_000)


def _large() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, Callable[[], bytes], tuple[int, int], str]] = {
        "jpeg-200mp": (
            "a baseline JPEG of 16,384 by 12,288", partial(bombs.colour_jpeg, 16384, 12288), (60, 45),
            "phones have sensors of 200 megapixels; a pixel limit would refuse them",
        ),
        "jpeg-280mp-grey": (
            "a grey baseline JPEG of 20,000 by 14,000", partial(bombs.grey_jpeg, 20000, 14000), (60, 42),
            "at 1/8 it costs 17 MB: pixels are not the cost",
        ),
        "jpeg-long": (
            "a baseline JPEG of 65,500 by 64", partial(bombs.colour_jpeg, 65500, 64), (60, 1),
            "panoramas and scans of scrolls",
        ),
        "webp-16mp": ("a WebP of 16 megapixels", partial(bombs.webp, 4000, 4000), (60, 60), "an ordinary size"),
    }  # fmt: skip
    for name, (given, make, size, why) in cases.items():
        yield Claim(
            name=f"taken-{name}",
            given=given,
            make=make,
            recipe={"width": 60, "height": 60},
            rule="what is large, and cheap enough to decode, is taken",
            reason=why,
            checks=(checks.is_sized(*size),),
        )

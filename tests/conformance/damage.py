"""Claims: a file that is cut or broken is refused and not delivered half grey; one with harmless faults is read."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from conformance import bombs, pictures
from conformance.claims import Claim
from support.pictures import animations, images
from support.pictures.containers import png, png_chunks, png_file, riff_chunks, webp_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_TRUNCATED: Final = frozenset({"truncated"})
_BROKEN: Final = frozenset({"corrupt", "truncated"})
_WHY: Final = "half a picture in a gallery is worse than an error that somebody sees; libvips/libvips#2309"


def claims() -> Iterator[Claim]:
    yield from _cut()
    yield from _broken()


_LARGE: Final[Mapping[str, Callable[[Image.Image], bytes]]] = {
    "jpeg": partial(images.jpeg, quality=90),
    "progressive-jpeg": partial(images.jpeg, quality=90, progressive=True),
    "png": partial(images.encoded, image_format="PNG"),
    "apng": lambda scene: animations.apng(scene.size, [animations.Frame(_few_colours(scene))]),
    "gif": lambda scene: animations.gif(scene.size, [animations.Frame(_few_colours(scene))]),
    "webp": partial(images.encoded, image_format="WEBP", quality=90),
    "lossless-webp": partial(images.encoded, image_format="WEBP", lossless=True, method=0),
    "avif": images.avif,
    "heic": images.heic,
    "tiff": partial(images.encoded, image_format="TIFF"),
    "compressed-tiff": partial(images.encoded, image_format="TIFF", compression="tiff_lzw"),
    "bmp": partial(images.encoded, image_format="BMP"),
}


@cache
def _large(kind: str) -> bytes:
    """Return a picture with so much noise that any cut is in its pixels."""
    return _LARGE[kind](images.scene(200, 150))


def _few_colours(image: Image.Image) -> NDArray[np.uint8]:
    return pictures.rgba(image.quantize(100))


def _cut() -> Iterator[Claim]:
    for image_format in _LARGE:
        for percent in (30, 60, 95):
            yield Claim(
                name=f"{image_format}-cut-at-{percent}",
                given=f"a {image_format} of which {percent} % are there",
                make=partial(_cut_at, image_format, percent),
                recipe={"width": 60, "height": 60},
                rule="a file that ends in its pixels is refused as truncated",
                reason=_WHY,
                refused=_TRUNCATED,
            )
    for image_format in ("jpeg", "progressive-jpeg"):
        yield Claim(
            name=f"{image_format}-cut-and-closed",
            given=f"half of a {image_format} with an end marker after it",
            make=partial(_cut_at, image_format, 50, b"\xff\xd9"),
            recipe={"width": 60, "height": 60},
            rule="a JPEG that was cut and closed again is refused",
            reason="brendan-duncan/image#230 closes what it lost; libjpeg only warns",
            refused=_BROKEN,
        )
    yield Claim(
        name="progressive-jpeg-scan-cut",
        given="a progressive JPEG whose first scan lacks its second half, while the others are whole",
        make=_scan_cut,
        recipe={"fit": "none", "format": "png"},
        rule="a JPEG that lacks data within its scans is refused",
        reason='libjpeg only warns ("premature end of data segment") and fills with grey',
        refused=_BROKEN,
    )
    yield Claim(
        name="jpeg-restart-interval-cut",
        given="a JPEG with restart markers, one of whose intervals lacks its second half",
        make=_interval_cut,
        recipe={"fit": "none", "format": "png"},
        rule="a JPEG that lacks data within its scans is refused",
        reason='libjpeg only warns ("premature end of data segment") and fills with grey',
        refused=_BROKEN,
    )
    for size in (3, 12, 40):
        yield Claim(
            name=f"jpeg-of-{size}-bytes",
            given=f"the first {size} bytes of a JPEG",
            make=partial(_beginning, size),
            recipe={"width": 60, "height": 60},
            rule="a file that ends in its header is refused",
            reason=_WHY,
            refused=_BROKEN,
        )


def _cut_at(image_format: str, percent: int, end: bytes = b"") -> bytes:
    whole = _large(image_format)
    return whole[: len(whole) * percent // 100] + end


def _scan_cut() -> bytes:
    data = _large("progressive-jpeg")
    start = data.index(b"\xff\xda") + 14
    end = data.index(b"\xff\xc4", start)
    return data[: (start + end) // 2].rstrip(b"\xff") + data[end:]


def _interval_cut() -> bytes:
    data = images.jpeg(images.scene(200, 150), quality=90, restart_marker_rows=1)
    start, end = data.index(b"\xff\xd2"), data.index(b"\xff\xd3")
    return data[: (start + end) // 2].rstrip(b"\xff") + data[end:]


def _beginning(size: int) -> bytes:
    return _large("jpeg")[:size]


def _broken() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, Callable[[], bytes]]] = {
        "png-pixels-flipped": ("a PNG with a flipped bit in its pixels", _png_flipped),
        "png-pixels-garbage": ("a PNG whose pixels are no zlib stream", _png_garbage),
        "png-rows-missing": ("a PNG with fewer rows than its header says", _png_short),
        "png-header-checksum": ("a PNG whose header does not fit its checksum", _png_header),
        "png-zero-width": ("a PNG of no width", partial(images.png_claiming, 0, 10)),
        "png-without-pixels": ("a PNG without IDAT", _png_empty),
        "jpeg-without-frame": ("a JPEG without a frame header", lambda: b"\xff\xd8" + _after(b"\xff\xc4")),
        "jpeg-without-tables": ("a JPEG without quantisation tables", lambda: b"\xff\xd8" + _after(b"\xff\xc0")),
        "jpeg-zero-width": ("a JPEG of no width", partial(bombs.grey_jpeg, 0, 64)),
        "webp-garbage": ("a WebP whose VP8 data is garbage", lambda: webp_file([(b"VP8 ", bytes(range(200)))])),
        "webp-lossless-garbage": ("a WebP whose VP8L data is garbage", _vp8l_garbage),
        "gif-garbage": ("a GIF whose pixels are garbage", _gif_garbage),
        "gif-rows-missing": ("a GIF whose pixels end early", partial(bombs.gif, 60, 60)),
        "gif-without-frames": (
            "a GIF without a frame",
            lambda: b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b";",
        ),
        "avif-garbage": ("an AVIF whose picture is garbage", partial(_mdat_garbage, "avif")),
        "avif-without-configuration": ("an AVIF without av1C", lambda: _large("avif").replace(b"av1C", b"free")),
        "heic-garbage": ("a HEIC whose picture is garbage", partial(_mdat_garbage, "heic")),
        "heic-without-configuration": ("a HEIC without hvcC", lambda: _large("heic").replace(b"hvcC", b"free")),
        "heic-without-primary": ("a HEIC whose primary item is missing", _heic_primary),
        "tiff-strip-elsewhere": ("a TIFF whose pixels lie after its end", partial(bombs.tiff, 60, 60, strip=b"")),
        "tiff-without-width": (
            "a TIFF without its width",
            lambda: bombs.tiff(9, 9).replace(b"\0\1\4\0", b"\0\x7f\4\0"),
        ),
        "tiff-without-directory": ("a TIFF whose directory lies after its end", lambda: b"II*\0\xff\xff\xff\0"),
        "bmp-no-width": ("a BMP of no width", partial(bombs.bmp, 0, 60)),
        "bmp-pixels-elsewhere": ("a BMP whose pixels lie after its end", partial(bombs.bmp, 60, 60)),
    }
    for name, (given, make) in cases.items():
        yield Claim(
            name=name,
            given=given,
            make=make,
            recipe={"width": 60, "height": 60},
            rule="a broken file is refused as corrupt or truncated, and not drawn in part",
            reason=_WHY,
            refused=_BROKEN,
        )
    magics: Mapping[str, bytes] = {
        "jpeg": b"\xff\xd8\xff\xe0",
        "png": b"\x89PNG\r\n\x1a\n",
        "gif": b"GIF89a",
        "webp": b"RIFF\xf8\1\0\0WEBP",
        "avif": b"\0\0\0\x1cftypavif",
        "heic": b"\0\0\0\x1cftypheic",
        "tiff": b"II*\0",
        "bmp": b"BM\xf8\1\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    }
    for image_format, magic in magics.items():
        for name, rest in (("zeros", bytes(500)), ("ones", b"\xff" * 500), ("bytes", bytes(range(250)) * 2)):
            yield Claim(
                name=f"{image_format}-magic-and-{name}",
                given=f"the first bytes of a {image_format}, and then {name}",
                make=partial(bytes, magic + rest),
                recipe={"width": 60, "height": 60},
                rule="what only begins like an image is refused",
                reason="decoders raise every kind of exception there is: none of them is a crash",
                refused=_BROKEN | {"too-large", "unsupported-format"},
            )


def _png_flipped() -> bytes:
    data = bytearray(_large("png"))
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def _png_garbage() -> bytes:
    parts = png_chunks(_large("png"))
    return png_file([(kind, bytes(range(250)) if kind == b"IDAT" else body) for kind, body in parts])


def _png_short() -> bytes:
    return png(60, 30, bytes(60 * 30), bits=8, kind=0).replace(
        struct.pack(">II", 60, 30) + b"\x08\0\0\0\0" + struct.pack(">I", zlib.crc32(_ihdr(30))),
        struct.pack(">II", 60, 60) + b"\x08\0\0\0\0" + struct.pack(">I", zlib.crc32(_ihdr(60))),
    )


def _ihdr(height: int) -> bytes:
    return b"IHDR" + struct.pack(">II", 60, height) + b"\x08\0\0\0\0"


def _png_header() -> bytes:
    data = bytearray(_large("png"))
    data[19] ^= 1
    return bytes(data)


def _png_empty() -> bytes:
    return png_file([part for part in png_chunks(_large("png")) if part[0] != b"IDAT"])


def _after(marker: bytes) -> bytes:
    data = images.jpeg(images.scene(64, 64))
    return data[data.index(marker) :]


def _vp8l_garbage() -> bytes:
    parts = [(kind, body[:5] + bytes(range(250)) * 8) for kind, body in riff_chunks(_large("lossless-webp"))]
    return webp_file(parts)


def _gif_garbage() -> bytes:
    data = _large("gif")
    at = data.index(b"\x21\xf9\x04") + 8 + 10
    return data[: at + 1] + b"".join(b"\xff" + b"\xee" * 255 for _ in range(60)) + b"\0;"


def _mdat_garbage(image_format: str) -> bytes:
    data = _large(image_format)
    at = data.index(b"mdat") + 4
    return data[:at] + bytes((7 * index + 3) % 251 for index in range(len(data) - at))


def _heic_primary() -> bytes:
    data = _large("heic")
    at = data.index(b"pitm") + 8
    return data[:at] + b"\0\x63" + data[at + 2 :]

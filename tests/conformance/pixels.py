"""Claims: every way to store a pixel is read right."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import animations, images
from support.pictures.containers import png, png_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

_PNG: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}
_RULE: Final = "the pixels are those that the file says"


def claims() -> Iterator[Claim]:
    yield from _png()
    yield from _jpeg()
    yield from _bmp()
    yield from _tiff()
    yield from _gif()


def _exact(  # noqa: PLR0917 -- the columns of a table
    name: str, given: str, make: Callable[[], bytes], expected: NDArray[np.uint8], reason: str, within: int = 0
) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe=_PNG,
        rule=_RULE,
        reason=reason,
        checks=(checks.equals(expected, within),),
    )


def _grey(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(rows[..., None], 3, axis=2)


def _png() -> Iterator[Claim]:
    reason = "PNG, third edition, 13.12: sample depth scaling; 11.2.1: kinds and depths"
    for bits in (1, 2, 4):
        top = 2**bits - 1
        samples = np.arange(16 * 8).reshape(8, 16) % (top + 1)
        packed = np.packbits(((samples[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8))
        yield _exact(
            f"png-grey-{bits}",
            f"a grey PNG of {bits} bits",
            partial(png, 16, 8, packed.tobytes(), bits=bits, kind=0),
            _grey((samples * 255 // top).astype(np.uint8)),
            reason,
        )
        palette = np.random.default_rng(bits).integers(0, 256, (top + 1, 3), dtype=np.uint8)
        yield _exact(
            f"png-palette-{bits}",
            f"a PNG with a palette of {bits} bits",
            partial(png, 16, 8, packed.tobytes(), bits=bits, kind=3, more=[(b"PLTE", palette.tobytes())]),
            palette[samples],
            reason,
        )
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    yield _exact(
        "png-interlaced",
        "a PNG in seven passes",
        partial(_interlaced, scene),
        pictures.rgb(scene),
        "PNG, third edition, 8.2: Adam7",
    )


def _interlaced(image: Image.Image) -> bytes:
    """Write Adam7 by hand: Pillow reads it and does not write it."""
    pixels = pictures.rgb(image)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    raw = b"".join(b"".join(b"\0" + row.tobytes() for row in pixels[y::down, x::right]) for x, y, right, down in passes)
    return png_of(raw, image.size, 8, 2, interlace=1)


def _jpeg() -> Iterator[Claim]:
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    smooth = pictures.ramp(pictures.WIDTH, pictures.HEIGHT)
    kinds: dict[str, dict[str, object]] = {
        "4-4-4": {"subsampling": "4:4:4"},
        "4-2-2": {"subsampling": "4:2:2"},
        "4-2-0": {"subsampling": "4:2:0"},
        "progressive": {"progressive": True},
        "restart-markers": {"restart_marker_blocks": 3},
        "optimized": {"optimize": True},
        "rgb": {"keep_rgb": True},
    }
    for name, options in kinds.items():
        yield _exact(
            f"jpeg-{name}",
            f"a JPEG ({name})",
            partial(images.jpeg, smooth, quality=98, **options),
            pictures.rgb(smooth),
            "ITU-T T.81; JFIF 1.02; Adobe TN 5116 for RGB",
            within=5,
        )
    yield _exact(
        "jpeg-grey",
        "a grey JPEG",
        partial(images.jpeg, scene.convert("L"), quality=98),
        pictures.rgb(scene.convert("L")),
        "JFIF 1.02: one component",
        within=12,
    )


def _bmp() -> Iterator[Claim]:
    scene = images.scene(40, 30)
    reason = "Windows GDI: BITMAPINFOHEADER"
    palette = scene.quantize(200)
    for name, image in (("24", scene), ("palette-8", palette), ("grey", scene.convert("L")), ("1", scene.convert("1"))):
        make = partial(images.encoded, image, "BMP")
        yield _exact(f"bmp-{name}", f"a BMP ({name} bits)", make, pictures.rgb(image), reason)
    pixels = pictures.rgb(scene)
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    top_down = struct.pack("<2sIII IiiHHIIiiII", b"BM", 54 + bgr.size, 0, 54, 40, 40, -30, 1, 24, 0, 0, 0, 0, 0, 0)
    yield _exact(
        "bmp-top-down", "a BMP whose rows begin at the top", partial(bytes, top_down + bgr.tobytes()), pixels, reason
    )
    fives = pixels.astype("<u2") >> np.array([3, 2, 3], dtype="<u2")
    packed = (fives[..., 0] << 11 | fives[..., 1] << 5 | fives[..., 2]).astype("<u2")
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    header = struct.pack("<2sIII IiiHHIIiiII", b"BM", 66 + packed.nbytes, 0, 66, 40, 40, 30, 1, 16, 3, 0, 0, 0, 0, 0)
    yield _exact(
        "bmp-565", "a BMP of 16 bits", partial(bytes, header + masks + packed[::-1].tobytes()), pixels, reason, within=8
    )
    runs = b"".join(bytes([20, 1, 20, 2, 0, 0]) for _ in range(8)) + b"\0\1"
    table = bytes((0, 0, 0, 0, 30, 30, 220, 0, 220, 30, 30, 0))
    header = struct.pack("<2sIII IiiHHIIiiII", b"BM", 66 + len(runs), 0, 66, 40, 40, 8, 1, 8, 1, len(runs), 0, 0, 3, 0)
    halves = np.repeat(np.array([[(220, 30, 30), (30, 30, 220)]], dtype=np.uint8), 20, axis=1).repeat(8, axis=0)
    yield _exact("bmp-rle8", "a BMP with run lengths", partial(bytes, header + table + runs), halves, reason)


def _tiff() -> Iterator[Claim]:
    scene = images.scene(40, 30)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield _exact(
            f"tiff-{compression.removeprefix('tiff_')}",
            f"a TIFF ({compression})",
            partial(images.encoded, scene, "TIFF", compression=compression),
            pictures.rgb(scene),
            "TIFF 6.0, Compression",
        )
    yield _exact(
        "tiff-jpeg",
        "a TIFF that holds a JPEG",
        partial(images.encoded, pictures.ramp(48, 32), "TIFF", compression="jpeg", quality=98),
        pictures.rgb(pictures.ramp(48, 32)),
        "TIFF Technical Note 2",
        within=6,
    )
    fax = scene.convert("1")
    yield _exact(
        "tiff-fax",
        "a TIFF of one bit (Group 4)",
        partial(images.encoded, fax, "TIFF", compression="group4"),
        pictures.rgb(fax),
        "TIFF 6.0, section 11",
    )
    for name, image in (("palette", scene.quantize(100)), ("grey", scene.convert("L"))):
        make = partial(images.encoded, image, "TIFF")
        yield _exact(
            f"tiff-{name}", f"a TIFF ({name})", make, pictures.rgb(image), "TIFF 6.0, sections 4 and 5", within=1
        )
    negative = bytearray(images.encoded(scene.convert("L"), "TIFF"))
    at = negative.index(struct.pack("<HHI", 262, 3, 1))
    negative[at + 8 : at + 10] = struct.pack("<H", 0)
    yield _exact(
        "tiff-white-is-zero",
        "a grey TIFF in which 0 is white",
        partial(bytes, negative),
        255 - pictures.rgb(scene.convert("L")),
        "TIFF 6.0, PhotometricInterpretation 0",
    )
    yield _exact(
        "tiff-pages",
        "a TIFF of three pages",
        partial(images.encoded, scene, "TIFF", save_all=True, append_images=[Image.new("RGB", (40, 30))] * 2),
        pictures.rgb(scene),
        "the first page is the picture; pages are no animation",
    )


def _gif() -> Iterator[Claim]:
    scene = images.scene(40, 30).quantize(64)
    for name, options in (("interlaced", {"interlace": 1}), ("plain", {"interlace": 0})):
        yield _exact(
            f"gif-{name}",
            f"a GIF ({name})",
            partial(images.encoded, scene, "GIF", **options),
            pictures.rgb(scene),
            "GIF89a, appendix E: interlaced images",
        )
    few = pictures.rgba(scene)
    yield _exact(
        "gif-87a",
        "a GIF87a",
        partial(_gif87, few),
        few[..., :3],
        "GIF87a: no extensions",
    )


def _gif87(pixels: NDArray[np.uint8]) -> bytes:
    data = animations.gif((40, 30), [animations.Frame(pixels)], repeats=None)
    at = data.index(b"\x21\xf9\x04")
    return b"GIF87a" + data[6:at] + data[at + 8 :]

"""Claims: AVIFs by whatever brand they are known, of tiles, of 10 bits, and with alpha that lacks its size."""

from __future__ import annotations

import base64
import struct
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from PIL import Image

from conformance import checks
from conformance.claims import Claim
from fuzz import fileparts, heifwriter
from support.pictures import images
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.claims import Check

_TILE: Final = 64
_RULE: Final = "the picture is the primary one, with its alpha"
_AUXILIARY: Final = heifwriter.full_box(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
_BRANDS: Final = {
    "fifth": (b"mif1", b"miaf", b"MA1B", b"mif2", b"heif", b"avif"),
    "twentieth": (b"mif1", *[b"miaf"] * 18, b"avif"),
    "general-profile": (b"MA1B", b"mif1", b"miaf", b"avif"),
    "common-format": (b"miaf", b"mif1", b"avif"),
}

TEN_BITS: Final = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAA"
    "AAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAASgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEA"
    "AGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAA"
    "AAAAE2NvbHJuY2x4AAIAAgAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAUm1kYXQSAAoJOBV//bwICBpAMjsSAkNKgADyAAAA"
    "z8thkmvX+L/ms6iTTS2Uim7CaKuc4im5mUXyzz2ONlIHVStFuxVpQ2r2/pAVZo8WQA=="
)
"""Four squares of 32 by 32, of 10 bits: (900, 100, 100), (100, 700, 120), (110, 120, 1000), (512, 512, 512).

No encoder among the dependencies writes it; imagecodecs 2026.3.6 did.
"""


def claims() -> Iterator[Claim]:
    scene = images.scene(2 * _TILE, _TILE)
    upright = (checks.is_sized(60, 30), checks.is_upright())
    for name, brands in _BRANDS.items():
        reason = "AV1 Image File Format 1.1, 4.1: a file is one that has avif among its brands, wherever it stands"
        yield _claim(f"brand-{name}", f"avif is brand {len(brands) - 1}", file([item(scene)], brands), upright, reason)
    tiles = [item(scene.crop((left, 0, left + _TILE, _TILE))) for left in (0, _TILE)]
    grid = heifwriter.grid(2, 1, 2)
    yield _claim("tiles", "two tiles", file([grid, *tiles]), upright, "ISO/IEC 23008-12, 6.6.2.3: grids")
    hole = Image.new("L", scene.size, 255)
    hole.paste(0, (_TILE, 0, 2 * _TILE, _TILE))
    for name, size in (("", True), ("-without-size", False)):
        plane = item(hole, _AUXILIARY, refers=(b"auxl", (1,)), sized=size)
        yield _claim(
            f"alpha{name}",
            f"alpha{name}",
            file([item(scene), plane]),
            (checks.has((0.05, 0.05), (220, 30, 30), 12), checks.has((0.75, 0.5), (0, 0, 255), 12)),
            "libavif, avif.h: AVIF_STRICT_ALPHA_ISPE_REQUIRED names the old libheif that writes it",
        )
    squares = ((0.25, 0.25), (224, 25, 25)), ((0.75, 0.25), (25, 175, 30)), ((0.75, 0.75), (128, 128, 128))
    yield _claim(
        "10-bits",
        "10 bits a channel",
        TEN_BITS,
        tuple(checks.has(at, colour, 4) for at, colour in squares),
        "AV1 Image File Format 1.1: the Advanced profile has 10 bits",
    )


def _claim(name: str, given: str, data: bytes, ways: tuple[Check, ...], reason: str) -> Claim:
    return Claim(
        name=f"avif-{name}",
        given=f"an AVIF: {given}",
        make=partial(bytes, data),
        recipe={"width": 60, "height": 60, "format": "jpeg", "quality": 95, "background": "#0000ff"},
        rule=_RULE,
        reason=reason,
        checks=ways,
    )


@cache
def _coded(picture: bytes, size: tuple[int, int], mode: str) -> bytes:
    image = Image.frombytes(mode, size, picture)
    return images.avif(image, subsampling="4:0:0" if mode == "L" else "4:2:0")


def item(
    picture: Image.Image, *more: bytes, refers: tuple[bytes, tuple[int, ...]] | None = None, sized: bool = True
) -> heifwriter.Item:
    """Make an item of a picture, perhaps without a size."""
    return item_of(_coded(picture.tobytes(), picture.size, picture.mode), *more, refers=refers, sized=sized)


def item_of(
    data: bytes, *more: bytes, refers: tuple[bytes, tuple[int, ...]] | None = None, sized: bool = True
) -> heifwriter.Item:
    """Make an item of the picture of an AVIF."""
    parts = list(fileparts.every(fileparts.parts_of(ImageFormat.AVIF, data)))
    kept = {b"av1C", b"pixi"} | ({b"ispe"} if sized else set())
    needed = tuple(heifwriter.box(part.kind, part.body) for part in parts if part.kind in kept)
    (coded,) = (part.body for part in parts if part.kind == b"mdat")
    return heifwriter.Item(b"av01", coded, (*needed, *more), refers)


def tiled(picture: Image.Image, side: int, *more: bytes) -> bytes:
    """Write a picture as a grid of tiles with a side of some pixels, with properties of the whole."""
    columns, rows = -(-picture.width // side), -(-picture.height // side)
    tiles = [
        item_of(images.avif(picture.crop((left, top, left + side, top + side)), subsampling="4:4:4"))
        for top in range(0, side * rows, side)
        for left in range(0, side * columns, side)
    ]
    data = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, *picture.size)
    whole = (heifwriter.extent(*picture.size), *more)
    return file([heifwriter.Item(b"grid", data, whole, (b"dimg", tuple(range(2, len(tiles) + 2)))), *tiles])


def file(items: list[heifwriter.Item], brands: tuple[bytes, ...] = (b"avif", b"avif", b"mif1", b"miaf")) -> bytes:
    return heifwriter.heic(items, brands=brands)

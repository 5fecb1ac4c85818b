"""Claims: HEICs and AVIFs that are laid out of tiles (ISO/IEC 23008-12, 6.6.2.3)."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from PIL import Image

from conformance import animationchecks, avifkinds, checks, phoneheics
from conformance.claims import Claim
from fuzz import heifwriter
from support.pictures import clean_aperture, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.claims import Check

_TILE: Final = phoneheics.TILE
_REASON: Final = "ISO/IEC 23008-12, 6.6.2.3: phones write grids; darktable-org/darktable#13306"
_CODERS: Final[Mapping[str, tuple[Callable[..., heifwriter.Item], Callable[..., bytes]]]] = {
    "heic": (phoneheics.item, heifwriter.heic),
    "avif": (avifkinds.item, avifkinds.file),
}


def claims() -> Iterator[Claim]:
    for kind in _CODERS:
        yield from _layouts(kind)
        yield from _parts(kind)
        yield from _faults(kind)
    for orientation in range(2, 9):
        stored = images.stored(images.scene(3 * _TILE, 2 * _TILE), orientation)
        columns, rows = stored.width // _TILE, stored.height // _TILE
        whole = heifwriter.grid(columns, rows, 2, *phoneheics.turns(orientation))
        yield _claim(
            f"avif-tiles-turned-{orientation}",
            f"an AVIF of six tiles in orientation {orientation}, by irot and imir of the whole",
            partial(_file, "avif", stored, whole),
        )


def _claim(name: str, given: str, make: Callable[[], bytes], *ways: Check, size: tuple[int, int] = (60, 40)) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe={"width": 60, "height": 60, "format": "webp", "quality": 95},
        rule="tiles come out as one picture: each in its place, turned and cut as the whole",
        reason=_REASON,
        checks=ways or (checks.is_sized(*size), checks.is_upright(), animationchecks.is_a_still()),
    )


def _file(kind: str, picture: Image.Image, whole: heifwriter.Item, *more: heifwriter.Item) -> bytes:
    """Lay a picture out of tiles; what is beyond the picture is black in them."""
    item, write = _CODERS[kind]
    columns, rows = -(-picture.width // _TILE), -(-picture.height // _TILE)
    tiles = [
        item(picture.crop((_TILE * column, _TILE * row, _TILE * (column + 1), _TILE * (row + 1))))
        for row in range(rows)
        for column in range(columns)
    ]
    return write([whole, *tiles, *more])


def _grid(columns: int, rows: int, size: tuple[int, int], *more: bytes, wide: bool = False) -> heifwriter.Item:
    """Make the item of a grid whose picture ends before its tiles do; ``wide`` has sides of 32 bits."""
    data = struct.pack(">BBBBII" if wide else ">BBBBHH", 0, wide, rows - 1, columns - 1, *size)
    tiles = tuple(range(2, 2 + columns * rows))
    return heifwriter.Item(b"grid", data, (heifwriter.extent(*size), *more), (b"dimg", tiles))


def _layouts(kind: str) -> Iterator[Claim]:
    for columns, rows, size in ((1, 1, (60, 60)), (3, 2, (60, 40)), (2, 1, (60, 30)), (1, 2, (30, 60))):
        scene = images.scene(_TILE * columns, _TILE * rows)
        name = f"{kind}-tiles-{columns}-by-{rows}"
        make = partial(_file, kind, scene, heifwriter.grid(columns, rows, 2))
        yield _claim(name, f"a grid of {columns} by {rows} tiles ({kind})", make, size=size)
    for name, size in {"right": (150, 128), "bottom": (192, 100), "both": (150, 100)}.items():
        scene = images.scene(*size)
        width, height = round(60 * min(1, size[0] / size[1])), round(60 * size[1] / size[0])
        make = partial(_file, kind, scene, _grid(-(-size[0] // _TILE), -(-size[1] // _TILE), size))
        given = f"a grid of tiles that its picture of {size[0]} by {size[1]} pixels cuts off ({kind})"
        yield _claim(f"{kind}-tiles-cut-{name}", given, make, size=(width, height))
    make = partial(_file, kind, images.scene(192, 128), _grid(3, 2, (192, 128), wide=True))
    yield _claim(f"{kind}-tiles-32-bits", f"a grid whose sides are of 32 bits ({kind})", make)


def _parts(kind: str) -> Iterator[Claim]:
    scene, other = images.scene(192, 128), Image.new("RGB", (_TILE, _TILE), "teal")
    item, _ = _CODERS[kind]
    thumbnail = item(other, refers=(b"thmb", (1,)))
    make = partial(_file, kind, scene, heifwriter.grid(3, 2, 2), thumbnail)
    yield _claim(f"{kind}-tiles-with-thumbnail", f"a grid with a thumbnail of another picture ({kind})", make)
    framed = Image.new("RGB", (256, 192), "white")
    framed.paste(scene, (32, 32))
    whole = heifwriter.grid(4, 3, 2, clean_aperture.clap(192, 128, 0, 0))
    yield _claim(
        f"{kind}-tiles-aperture", f"a grid with a clean aperture ({kind})", partial(_file, kind, framed, whole)
    )
    stored = Image.new("RGB", (192, 256), "white")
    stored.paste(images.stored(scene, 6), (32, 32))
    whole = heifwriter.grid(3, 4, 2, clean_aperture.clap(128, 192, 0, 0), *phoneheics.turns(6))
    given = f"a turned grid with a clean aperture ({kind})"
    yield _claim(f"{kind}-tiles-aperture-turned", given, partial(_file, kind, stored, whole))


def _faults(kind: str) -> Iterator[Claim]:
    scene = images.scene(192, 128)
    cases: Mapping[str, tuple[str, Callable[[], bytes]]] = {
        "missing-tile": ("that names a tile that is not there", partial(_file, kind, scene, heifwriter.grid(3, 3, 2))),
        "beyond-tiles": (
            "whose picture is larger than its tiles",
            partial(_file, kind, scene, _grid(3, 2, (250, 128))),
        ),
        "of-itself": ("that is a tile of itself", partial(_file, kind, scene, heifwriter.grid(3, 2, 1))),
    }
    for name, (given, make) in cases.items():
        yield Claim(
            name=f"{kind}-tiles-{name}",
            given=f"a grid {given} ({kind})",
            make=make,
            recipe={"width": 60, "height": 60},
            rule="a grid that is not whole is no picture",
            reason="ISO/IEC 23008-12, 6.6.2.3.3: all tiles together cover the picture",
            refused=frozenset({"corrupt"}),
        )

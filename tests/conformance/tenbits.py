"""Claims: AVIFs and HEICs of 10 and 12 bits a channel, in the ways in which phones and cameras store them."""

from __future__ import annotations

import base64
import struct
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import avifkinds, checks, phoneheics
from conformance.claims import Claim
from conformance.colour import colour_claim
from fuzz import heifwriter
from support.pictures import images, profiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conformance.claims import Check

_RULE: Final = "10 and 12 bits become 8 by their value"
_SIDE: Final = 64
_LEFT, _RIGHT = (60, 180, 90), (200, 60, 50)

# No encoder among the dependencies writes these; imagecodecs 2026.3.6 did.
_AVIFS: Final[Mapping[str, str]] = {
    "10-bit-420": (
        "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAA"
        "AAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAASAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFD"
        "b2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBAEwAAAAAE2NvbHJu"
        "Y2x4AAIAAgAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAUG1kYXQSAAoJGBV//boEBA0IMjkRAapAAHkAAADPybaeyFGJuWU5Z0E8"
        "pD/iqkSrs1CBIdQD5ETPf2riI8yzyu8ngADWEmXI/gzUeaA="
    ),
    "12-bit-444": (
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5w"
        "aXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ8AAABQAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9y"
        "AAAAAGppcHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMMDAwAAAAMYXYxQ4FAYAAAAAATY29scm5jbHgA"
        "AgACAAaAAAAAF2lwbWEAAAAAAAAAAQABBAECgwQAAABYbWRhdBIACglYFX/9rQICBogyQRECI1KAAPIAANRnM/NaQizKhhY7suWqKaPZ"
        "ax4/fhykCasLoK+QuAF3E8AZRb8barsaaXhH+0I0RYRAmtYcukfI"
    ),
    "10-bit-422": (
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5w"
        "aXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ8AAABIAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9y"
        "AAAAAGppcHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMKCgoAAAAMYXYxQ4FASAAAAAATY29scm5jbHgA"
        "AgACAAaAAAAAF2lwbWEAAAAAAAAAAQABBAECgwQAAABQbWRhdBIACglYFX/9uQICBpAyORECG1SAAPIAAADPybaeyFGJqsb+hxdFLYFW"
        "FpzMgHYrxi+mogmBWKa9KdGiso3XUcxHBc5oJ99SwA=="
    ),
    "10-bit-grey": (
        "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5w"
        "aXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ0AAAAmAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9y"
        "AAAAAGhpcHJwAAAASWlwY28AAAAUaXNwZQAAAAAAAABAAAAAQAAAAA5waXhpAAAAAAEKAAAADGF2MUOBAFwAAAAAE2NvbHJuY2x4AAIA"
        "AgACgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAALm1kYXQSAAoGGBV//Z1AMhoQAI22aOdKBuTlYtw2GloBLQ1vhbtG7yw5oA=="
    ),
}
"""Four squares of 32 by 32, as avifkinds.TEN_BITS."""

_SQUARES: Final = {(0.25, 0.25): (224, 25, 25), (0.75, 0.25): (25, 175, 30), (0.75, 0.75): (128, 128, 128)}
_GREYS: Final = {(0.25, 0.25): (224,) * 3, (0.75, 0.25): (25,) * 3, (0.25, 0.75): (27,) * 3}


def claims() -> Iterator[Claim]:
    yield from _avifs()
    yield from _avif_containers()
    yield from _heics()
    yield from _heic_containers()


def _claim(name: str, given: str, data: bytes, *ways: Check, recipe: Mapping[str, Any] | None = None) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=partial(bytes, data),
        recipe=recipe or {"fit": "none", "format": "png"},
        rule=_RULE,
        reason="AV1 Image File Format 1.1: the Advanced profile; ISO/IEC 23008-12, B: Main 10; phones' HDR modes",
        checks=ways,
    )


def _shows(colours: Mapping[tuple[float, float], tuple[int, ...]], within: int = 4) -> list[Check]:
    return [checks.has(at, colour, within) for at, colour in colours.items()]


def _avifs() -> Iterator[Claim]:
    for name, text in _AVIFS.items():
        shown = _GREYS if name == "10-bit-grey" else _SQUARES
        yield _claim(f"avif-{name}", f"an AVIF of {name}", base64.b64decode(text), *_shows(shown))
    for target in ("jpeg", "webp", "avif"):
        yield _claim(
            f"avif-10-bit-to-{target}",
            f"an AVIF of 10 bits, to {target}",
            avifkinds.TEN_BITS,
            checks.is_sized(32, 32),
            *_shows(_SQUARES, 8),
            recipe={"width": 32, "height": 32, "format": target, "quality": 95},
        )


def _avif_containers() -> Iterator[Claim]:
    item = avifkinds.item_of(avifkinds.TEN_BITS)
    for orientation in range(2, 9):
        turned = avifkinds.item_of(avifkinds.TEN_BITS, *phoneheics.turns(orientation))
        marks = np.array([[1, 2], [3, 4]])
        places = {1: (0.25, 0.25), 2: (0.75, 0.25), 3: (0.25, 0.75), 4: (0.75, 0.75)}
        colours = dict(zip((1, 2, 4), _SQUARES.values(), strict=True))
        upright = _turned(marks, orientation)
        shown = {places[at]: colours[mark] for at, mark in enumerate(upright.ravel().tolist(), 1) if mark in colours}
        yield _claim(
            f"avif-10-bit-turned-{orientation}",
            f"an AVIF of 10 bits in orientation {orientation}, by irot and imir",
            avifkinds.file([turned]),
            *_shows(shown),
        )
    grid = heifwriter.grid(2, 1, 2)
    halves = {(x / 2, y): colour for (x, y), colour in _SQUARES.items()}
    yield _claim(
        "avif-10-bit-tiles",
        "an AVIF of two tiles of 10 bits",
        avifkinds.file([grid, item, item]),
        checks.is_sized(2 * _SIDE, _SIDE),
        *_shows(halves | {(0.5 + x, y): colour for (x, y), colour in halves.items()}),
    )
    in_p3 = {
        at: profiles.in_srgb(colour, profiles.DISPLAY_P3, profiles.srgb_to_light) for at, colour in _SQUARES.items()
    }
    yield _claim(
        "avif-10-bit-p3",
        "an AVIF of 10 bits whose colr says Display P3",
        avifkinds.file([avifkinds.item_of(avifkinds.TEN_BITS, _nclx(12, 13))]),
        *_shows(in_p3),
    )


def _turned(marks: Any, orientation: int) -> Any:
    turns = dict(phoneheics.TURNS[orientation])
    shown = np.rot90(marks, turns.get("irot", 0))
    if "imir" in turns:
        shown = shown[:, ::-1] if turns["imir"] else shown[::-1]
    return shown


def _nclx(primaries: int, transfer: int, matrix: int = 6) -> bytes:
    return heifwriter.box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def _heics() -> Iterator[Claim]:
    for chroma in (420, 422, 444):
        yield colour_claim(
            f"10-bit-heic-{chroma}",
            f"squares in a HEIC of 10 bits, chroma {chroma}",
            partial(_heic, chroma=chroma, quality=95),
            [_LEFT, _RIGHT],
            rule=_RULE,
            reason="phones' HDR modes write 10 bits",
            within=4,
        )
    yield colour_claim(
        "10-bit-heic-grey",
        "squares in a grey HEIC of 10 bits",
        partial(_heic, mode="L;16"),
        [(60,) * 3, (200,) * 3],
        rule=_RULE,
        reason="phones' HDR modes write 10 bits",
    )
    yield _claim(
        "10-bit-heic-alpha",
        "squares in a HEIC of 10 bits with alpha, the right one half clear",
        _heic(mode="RGBA;16"),
        checks.has((0.25, 0.5), (*_LEFT, 255)),
        checks.has((0.75, 0.5), (*_RIGHT, 128)),
    )
    for target in ("jpeg", "webp", "avif"):
        yield _claim(
            f"10-bit-heic-to-{target}",
            f"squares in a HEIC of 10 bits, to {target}",
            _heic(),
            checks.is_sized(32, 32),
            *_shows({(0.25, 0.5): _LEFT, (0.75, 0.5): _RIGHT}, 8),
            recipe={"width": 32, "height": 32, "format": target, "quality": 95},
        )


def _heic(mode: str = "RGB;16", **options: Any) -> bytes:
    colours = np.array([(*_LEFT, 255), (*_RIGHT, 128)], dtype=np.uint16) * 257
    channels = {"RGB;16": 3, "RGBA;16": 4, "L;16": 1}[mode]
    row = np.repeat(colours[:, :channels], _SIDE // 2, axis=0)
    pixels = np.ascontiguousarray(np.broadcast_to(row, (_SIDE, *row.shape)))
    return images.heic_of_16_bits(pixels.tobytes(), (_SIDE, _SIDE), mode=mode, **options)


def _heic_containers() -> Iterator[Claim]:
    item = phoneheics.item(_heic(), _nclx(1, 13))
    both = {(0.25, 0.5): _LEFT, (0.75, 0.5): _RIGHT}
    for orientation in (3, 6, 8):
        turned = phoneheics.item(_heic(), _nclx(1, 13), *phoneheics.turns(orientation))
        shown = {3: {(0.75, 0.5): _LEFT, (0.25, 0.5): _RIGHT}, 6: {(0.5, 0.25): _LEFT, (0.5, 0.75): _RIGHT}}
        upright = shown.get(orientation, {(0.5, 0.75): _LEFT, (0.5, 0.25): _RIGHT})
        yield _claim(
            f"10-bit-heic-turned-{orientation}",
            f"squares in a HEIC of 10 bits in orientation {orientation}, by irot",
            heifwriter.heic([turned]),
            *_shows(upright),
        )
    for columns, rows in ((2, 1), (1, 2), (2, 2)):
        grid = heifwriter.grid(columns, rows, 2, _nclx(1, 13))
        tiles = [
            {((column + x) / columns, (row + y) / rows): colour for (x, y), colour in both.items()}
            for column in range(columns)
            for row in range(rows)
        ]
        yield _claim(
            f"10-bit-heic-tiles-{columns}x{rows}",
            f"a HEIC of {columns} by {rows} tiles of 10 bits",
            heifwriter.heic([grid, *[item] * (columns * rows)]),
            checks.is_sized(columns * _SIDE, rows * _SIDE),
            *_shows(dict(chain.from_iterable(tile.items() for tile in tiles))),
        )
    for name, box in (
        ("p3-by-code-points", _nclx(12, 13)),
        ("p3-by-profile", heifwriter.box(b"colr", b"prof" + images.display_p3_profile())),
    ):
        yield _claim(
            f"10-bit-heic-{name}",
            f"squares in a HEIC of 10 bits in Display P3 ({name})",
            heifwriter.heic([phoneheics.item(_heic(), box)]),
            *_shows(
                {at: profiles.in_srgb(each, profiles.DISPLAY_P3, profiles.srgb_to_light) for at, each in both.items()}
            ),
        )

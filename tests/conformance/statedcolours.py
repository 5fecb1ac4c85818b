"""Claims: colours that a file states without a profile, and JPEGs whose components are of unusual kinds."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import ExifTags, Image

from conformance import checks, pictures
from conformance.claims import Claim
from conformance.colour import COLOURS, colour_claim
from support.pictures import images, profiles
from support.pictures.containers import png_with
from support.pictures.planarjpeg import planar_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pictures.containers import Part

_PNG: Final = "W3C PNG, third edition, 4.3: cICP, then iCCP, then sRGB, then gAMA and cHRM"
_P3: Final = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
_SRGB_GAMMA: Final = struct.pack(">I", 45_455)
_LINEAR: Final = struct.pack(">I", 100_000)
_LEVELS: Final = (0, 40, 80, 120, 160, 200, 255)
_REFERENCE_WHITE: Final = 203


def claims() -> Iterator[Claim]:
    yield from _by_chunks()
    yield from _hdr()
    yield from _by_exif()
    yield from _samplings()


def _by_chunks() -> Iterator[Claim]:
    linear = [profiles.in_srgb(colour, profiles.SRGB, 1.0) for colour in COLOURS]
    old_mac = [profiles.in_srgb(colour, profiles.SRGB, 1.8) for colour in COLOURS]
    in_p3 = [profiles.in_srgb(colour, profiles.DISPLAY_P3, profiles.srgb_to_light) for colour in COLOURS]
    cases: dict[str, tuple[str, list[Part], list[tuple[int, ...]]]] = {
        "gama-linear": ("gAMA says that they are light", [(b"gAMA", _LINEAR)], list(linear)),
        "gama-1.8": ("gAMA says 1/1.8", [(b"gAMA", struct.pack(">I", 55_556))], list(old_mac)),
        "gama-srgb": ("gAMA says 1/2.2", [(b"gAMA", _SRGB_GAMMA)], list(COLOURS)),
        "gama-of-nothing": ("gAMA says 0", [(b"gAMA", bytes(4))], list(COLOURS)),
        "chrm-p3": ("gAMA and cHRM are those of Display P3", [(b"gAMA", _SRGB_GAMMA), (b"cHRM", _P3)], list(in_p3)),
        "chrm-of-nothing": ("cHRM is zeros", [(b"gAMA", _SRGB_GAMMA), (b"cHRM", bytes(32))], list(COLOURS)),
        "srgb-before-gama": ("sRGB stands beside a gAMA", [(b"sRGB", b"\0"), (b"gAMA", _LINEAR)], list(COLOURS)),
        "cicp-p3": ("cICP says Display P3", [(b"cICP", bytes([12, 13, 0, 1]))], list(in_p3)),
        "cicp-before-gama": (
            "cICP says sRGB and gAMA light", [(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", _LINEAR)], list(COLOURS),
        ),
    }  # fmt: skip
    for name, (given, chunks, expected) in cases.items():
        yield colour_claim(
            f"png-{name}",
            f"squares in a PNG whose {given}",
            partial(_png, *chunks),
            expected,
            rule="the colours are those that the file states, in sRGB",
            reason=_PNG,
        )


def _png(*chunks: Part, colours: tuple[tuple[int, ...], ...] = COLOURS) -> bytes:
    return png_with(images.encoded(pictures.patches(colours), "PNG"), *chunks)


def _hdr() -> Iterator[Claim]:
    for name, transfer, light in (("pq", 16, _pq_light), ("hlg", 18, _hlg_light)):
        expected = [profiles.srgb_of(np.full(3, min(1.0, light(level / 255)))) for level in _LEVELS]
        yield colour_claim(
            f"png-cicp-{name}",
            f"greys in a PNG whose cICP says BT.2020 and {name.upper()}",
            partial(
                _png, (b"cICP", bytes([9, transfer, 0, 1])), colours=tuple((level, level, level) for level in _LEVELS)
            ),
            expected,
            rule="reference white (203 cd/m²) is white, what is brighter is cut",
            reason="ITU-R BT.2100 and BT.2408",
            within=5,
        )


def _pq_light(signal: float) -> float:
    root = signal ** (32 / 2523)
    return float((max(0.0, root - 3424 / 4096) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610) * 10_000) / (
        _REFERENCE_WHITE
    )


def _hlg_light(signal: float) -> float:
    def scene(value: float) -> float:
        if value <= 1 / 2:
            return value * value / 3
        return float(np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12

    return float((scene(signal) / scene(0.75)) ** 1.2)


def _by_exif() -> Iterator[Claim]:
    in_adobe = [profiles.in_srgb(colour, profiles.ADOBE_RGB, profiles.ADOBE_GAMMA) for colour in COLOURS]
    for name, index, space, expected in (
        ("r03", "R03", 0xFFFF, in_adobe),
        ("r98", "R98", 1, COLOURS),
        ("r03-but-srgb", "R03", 1, COLOURS),
    ):
        yield colour_claim(
            f"jpeg-exif-{name}",
            f"squares in a JPEG whose EXIF says {index} and colour space {space}",
            partial(_jpeg_of_a_camera, index, space),
            expected,
            rule="a camera's Adobe RGB is Adobe RGB",
            reason="DCF 2.0: optional colour space, by the interoperability index",
        )


def _jpeg_of_a_camera(index: str, space: int) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = space
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: index}
    return images.jpeg(pictures.patches(COLOURS), quality=100, subsampling="4:4:4", exif=exif.tobytes())


def _samplings() -> Iterator[Claim]:
    stored = images.scene(pictures.WIDTH, pictures.HEIGHT).convert("YCbCr")
    scene = stored.convert("RGB")  # the way there and back costs a level
    for factors in (
        ((4, 1), (1, 1), (1, 1)),
        ((1, 4), (1, 1), (1, 1)),
        ((1, 2), (1, 1), (1, 1)),
        ((2, 2), (2, 1), (1, 2)),
        ((1, 1), (2, 2), (2, 2)),
        ((3, 1), (1, 1), (1, 1)),
    ):
        name = "-".join(f"{across}x{down}" for across, down in factors)
        yield Claim(
            name=f"jpeg-sampling-{name}",
            given=f"a JPEG whose components are sampled {name}",
            make=partial(planar_jpeg, stored.split(), factors),
            recipe={"fit": "none", "format": "png"},
            rule="every sampling that the standard has comes out as the picture",
            reason="ITU-T T.81, A.1.1",
            checks=(checks.is_sized(*scene.size), checks.is_upright(), checks.is_near(pictures.rgb(scene), 12)),
        )

"""Claims: TIFFs of every kind of pixels that people have are read right, whatever their layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import images, profiles
from support.pictures.tiffs import (
    CMYK,
    DEFLATE,
    LAB,
    LZW,
    PACKBITS,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    tiff,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from conformance.claims import Check

    Pixels = NDArray[Any]

_SIZE: Final = (45, 34)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_INKS: Final = ((0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 255, 255, 0), (0, 0, 0, 255))
_LAB: Final = ((255, 0, 0), (128, 0, 0), (128, 40, 20), (150, -40, 30), (90, 20, -50))


@dataclass(frozen=True, slots=True)
class _Case:
    """A file and what it shows."""

    given: str
    samples: Pixels
    layout: Layout
    shown: Pixels
    reason: str
    within: int = 1


def claims() -> Iterator[Claim]:
    for name, case in (_grey() | _colours() | _palettes() | _layouts()).items():
        yield _claim(name, case, (checks.equals(case.shown.astype(np.uint8), case.within),))
    yield from _squares()
    yield from _refused()


def _claim(name: str, case: _Case, ways: tuple[Check, ...]) -> Claim:
    return Claim(
        name=f"tiff-{name}",
        given=f"a TIFF: {case.given}",
        make=partial(tiff, case.samples, case.layout),
        recipe={"fit": "none", "format": "png"},
        rule="the pixels are those that the file says",
        reason=case.reason,
        checks=ways,
    )


def _scene() -> Pixels:
    return pictures.rgb(images.scene(*_SIZE)).astype(int)


def _levels() -> Pixels:
    grey = _scene()[..., 1].copy()
    grey[0, :2] = 0, 255
    return grey


def _alpha() -> Pixels:
    levels: Pixels = np.clip(np.arange(_SIZE[0])[None, :] * 5 + np.arange(_SIZE[1])[:, None] * 2, 1, 255)
    return levels


def _stack(*channels: Pixels) -> Pixels:
    return np.concatenate([channel if channel.ndim > 2 else channel[..., None] for channel in channels], axis=2)


def _rgb_of(grey: Pixels) -> Pixels:
    return np.repeat(grey[..., None], 3, axis=2)


def _grey() -> dict[str, _Case]:
    grey = _levels()
    shown, negative = _rgb_of(grey), 255 - _rgb_of(grey)
    white = "TIFF 6.0, PhotometricInterpretation: 2**BitsPerSample - 1 is white, or 0"
    technical = "TIFF 6.0, section 19: SampleFormat"
    wide = (grey.astype(np.int64) * 0x01010101).astype("u4")
    both = _stack(grey, _alpha())
    with_alpha = _stack(shown, _alpha())
    layout, associated = Layout(extra=[_UNASSOCIATED]), Layout(extra=[_ASSOCIATED])
    premultiplied = _stack(grey * _alpha() // 255, _alpha())
    return {
        "grey-32": _Case("32-bit grey without a sign", wide, Layout(), shown, white),
        "grey-32-big-endian": _Case(
            "the same, big-endian, LZW", wide, Layout(order=">", compression=LZW), shown, white
        ),
        "grey-32-white": _Case("32-bit grey, 0 is white", wide, Layout(photometric=WHITE_IS_ZERO), negative, white),
        "grey-16-white-big-endian": _Case(
            "16-bit grey, 0 is white, big-endian",
            (grey * 257).astype("u2"),
            Layout(photometric=WHITE_IS_ZERO, order=">"),
            negative,
            white,
        ),
        "grey-12-big-endian": _Case(
            "12-bit grey, big-endian", (grey * 4095 // 255).astype("u2"), Layout(bits=12, order=">"), shown, white
        ),
        "grey-signed-16": _Case("16-bit grey with a sign", (grey * 128).astype("i2"), Layout(), shown, technical, 2),
        "float-big-endian-deflate": _Case(
            "floating point, big-endian, Deflate with its predictor",
            (grey / 255).astype("f4"),
            Layout(order=">", compression=DEFLATE, predictor=3),
            shown,
            "TIFF Technical Note 3: floating point predictor",
        ),
        "grey-alpha": _Case("grey with alpha", both.astype("u1"), layout, with_alpha, "TIFF 6.0, ExtraSamples"),
        "grey-alpha-16": _Case(
            "16-bit grey with alpha", (both * 257).astype("u2"), layout, with_alpha, "TIFF 6.0, ExtraSamples"
        ),
        "grey-alpha-16-associated": _Case(
            "16-bit grey, multiplied by its alpha",
            (premultiplied * 257).astype("u2"),
            associated,
            _straight(premultiplied),
            "TIFF 6.0, ExtraSamples 1: associated alpha",
            2,
        ),
    }


def _straight(premultiplied: Pixels) -> Pixels:
    """Divide by alpha as Pillow does it, in whole numbers of 8 bits."""
    mode = {2: "La", 4: "RGBa"}[premultiplied.shape[2]]
    image = Image.frombytes(mode, _SIZE, premultiplied.astype(np.uint8).tobytes())
    return pictures.rgba(image.convert({"La": "LA", "RGBa": "RGBA"}[mode]))


def _colours() -> dict[str, _Case]:
    scene, alpha = _scene(), _alpha()
    with_alpha, spare = _stack(scene, alpha), _stack(scene, alpha, _levels())
    ycbcr = np.asarray(images.scene(*_SIZE).convert("YCbCr"))
    extra = "TIFF 6.0, ExtraSamples: what has no meaning is passed over"
    sections = "TIFF 6.0, sections 21 and 22"
    return {
        "rgba-and-more": _Case(
            "RGB, alpha and a further sample",
            spare.astype("u1"),
            Layout(photometric=RGB, extra=[_UNASSOCIATED, 0]),
            with_alpha,
            extra,
        ),
        "ycbcr": _Case(
            "YCbCr, not compressed",
            ycbcr,
            Layout(photometric=YCBCR, tags={530: [1, 1], 532: [0, 255, 128, 255, 128, 255]}),
            scene,
            sections,
            3,
        ),
    }


def _palettes() -> dict[str, _Case]:
    found = {}
    for bits in (1, 4, 8):
        colours = 1 << bits
        chosen = np.random.default_rng(bits)
        indices, table = chosen.integers(0, colours, _SIZE[::-1]), chosen.integers(0, 256, (3, colours))
        table[0, 0] = 255
        for name, factor in (("16", 257), ("8", 1)):
            found[f"palette-{bits}-of-{name}-bit-values"] = _Case(
                f"a palette of {colours} colours, in values of {name} bits",
                indices.astype("u1"),
                Layout(
                    photometric=PALETTE, bits=bits, compression=PACKBITS, tags={320: (table.ravel() * factor).tolist()}
                ),
                np.moveaxis(table[:, indices], 0, 2),
                "libtiff takes a colour map without an entry of 256 or more as 8-bit (checkcmap in tif_getimage.c)",
            )
    return found


def _layouts() -> dict[str, _Case]:
    scene, alpha, grey = _scene(), _alpha(), _levels()
    planes = "TIFF 6.0, PlanarConfiguration 2"
    rgb16 = (scene * 257).astype("u2")
    premultiplied = _stack(scene * alpha[..., None] // 255, alpha)
    apart = {
        "rgb-16": (rgb16, Layout(photometric=RGB, planar=2), scene),
        "rgba": (
            _stack(scene, alpha).astype("u1"),
            Layout(photometric=RGB, planar=2, extra=[_UNASSOCIATED]),
            _stack(scene, alpha),
        ),
        "rgba-associated": (
            premultiplied.astype("u1"),
            Layout(photometric=RGB, planar=2, extra=[_ASSOCIATED]),
            _straight(premultiplied),
        ),
        "grey-alpha": (
            _stack(grey, alpha).astype("u1"),
            Layout(planar=2, extra=[_UNASSOCIATED]),
            _stack(_rgb_of(grey), alpha),
        ),
    }
    found = {}
    for name, (samples, options, shown) in apart.items():
        for way, layout in (
            ("", options),
            ("-big-endian", replace(options, order=">", rows=7)),
            ("-lzw-tiles", replace(options, compression=LZW, tile=(16, 16), predictor=2)),
        ):
            found[f"planar-{name}{way}"] = _Case(f"{name}, each channel by itself{way}", samples, layout, shown, planes)
    eight = scene.astype("u1")
    for name, layout in {
        "tiles-of-uneven-edges": Layout(photometric=RGB, tile=(32, 16)),
        "tiles-deflate": Layout(photometric=RGB, tile=(16, 32), compression=DEFLATE, predictor=2, order=">"),
        "big": Layout(photometric=RGB, big=True, rows=9),
        "big-big-endian-lzw": Layout(photometric=RGB, big=True, order=">", compression=LZW, rows=9),
        "byte-counts-too-large": Layout(photometric=RGB, tags={279: [99_999]}),
    }.items():
        reason = "BigTIFF; TIFF 6.0, section 15: tiles; libtiff reads what the pixels need"
        found[name] = _Case(name.replace("-", " "), eight, layout, scene, reason)
    found["rgb-16-tiles"] = _Case("16-bit tiles", rgb16, Layout(photometric=RGB, tile=(16, 16)), scene, "TIFF 6.0")
    return found


def _squares() -> Iterator[Claim]:
    """Yield claims about colours that are not red, green and blue."""
    inks = pictures.rgba(pictures.patches(_INKS, mode="RGBA")).copy()
    alpha = np.full((*inks.shape[:2], 1), 128, dtype=np.uint8)
    profile = profiles.cmyk_profile(_press)
    passed_over = "TIFF 6.0, ExtraSamples: Photoshop writes CMYK with alpha, which no press prints"
    spare = np.concatenate([inks, alpha], axis=2)
    bare = Layout(photometric=CMYK, tags={34675: profile})
    with_alpha = replace(bare, extra=[_UNASSOCIATED])
    for name, samples, layout, reason in (
        ("cmyk-alpha", spare, with_alpha, passed_over),
        ("cmyk-alpha-deflate", spare, replace(with_alpha, compression=DEFLATE, order=">"), passed_over),
        ("cmyk-channels", np.concatenate([spare, alpha], axis=2), replace(bare, extra=[_UNASSOCIATED, 0]), passed_over),
        ("cmyk-planar", inks, replace(bare, planar=2), "TIFF 6.0, PlanarConfiguration 2"),
        ("cmyk-planar-alpha", spare, replace(with_alpha, planar=2, compression=LZW), passed_over),
    ):
        case = _Case(f"squares in CMYK with a profile ({name})", samples, layout, inks, reason)
        yield _claim(name, case, (checks.shows([_press(ink) for ink in _INKS], within=4),))
    lab = np.array(_LAB).astype("i1").view("u1")
    squares = np.repeat(np.repeat(lab, 16, axis=0)[None], 16, axis=0)
    for name, layout in {
        "lab": Layout(photometric=LAB),
        "lab-planar": Layout(photometric=LAB, planar=2),
        "lab-planar-tiles": Layout(photometric=LAB, planar=2, tile=(16, 16)),
    }.items():
        reason = "TIFF 6.0, section 23: a and b have a sign"
        case = _Case(f"squares in CIELAB ({name})", squares, layout, squares, reason)
        yield _claim(name, case, (checks.shows([_from_lab(*colour) for colour in _LAB], within=4),))


def _press(inks: tuple[int, ...]) -> tuple[int, int, int]:
    """Return what a strange press makes of inks: they are in each other's places."""
    c, m, y, k = (ink // 255 for ink in inks)
    return (0, 0, 0) if k else (255 * (1 - y), 255 * (1 - c), 255 * (1 - m))


def _from_lab(light: int, a: int, b: int) -> tuple[int, int, int]:
    """Return the sRGB of a colour (CIE 15, of which TIFF has lightness in 255 steps)."""
    y = (light / 2.55 + 16) / 116
    xyz = np.array([y + a / 500, y, y - b / 200]) ** 3 * np.array(profiles.D50)
    red, green, blue = profiles.srgb_of(np.linalg.inv(profiles.SRGB) @ xyz)
    return int(red), int(green), int(blue)


def _refused() -> Iterator[Claim]:
    """Yield claims about what nobody can say how to read."""
    grey, scene = _levels(), _scene()
    cases = {
        "grey-signed-8": ("grey of 8 bits with a sign", (grey - 128).astype("i1"), Layout()),
        "grey-signed-16-below-zero": ("grey around zero", ((grey - 128) * 256).astype("i2"), Layout()),
        "float-white": ("floating point, 0 is white", (grey / 255).astype("f4"), Layout(photometric=WHITE_IS_ZERO)),
        "float-16": ("floating point of 16 bits", (grey / 255).astype("f2"), Layout()),
        "lab-16": ("CIELAB of 16 bits", (scene * 257).astype("u2"), Layout(photometric=LAB)),
        "palette-16": ("a palette of 65,536 colours", grey.astype("u2"), Layout(photometric=PALETTE)),
        "colour-filter-array": ("the raw pixels of a camera", grey.astype("u1"), Layout(photometric=32803)),
        "ycbcr-planar": (
            "YCbCr, each by itself, two colours at half the size",
            scene.astype("u1"),
            Layout(photometric=YCBCR, planar=2, tags={530: [2, 2]}),
        ),
    }
    for name, (given, samples, layout) in cases.items():
        yield Claim(
            name=f"tiff-not-{name}",
            given=f"a TIFF: {given}",
            make=partial(tiff, samples, layout),
            recipe={"fit": "none", "format": "png"},
            rule="a whole file of a kind that is not taken is refused as such: a wrong picture is worse than none",
            reason="readers take such files for others, and show noise, a negative or half of the picture",
            refused=frozenset({"unsupported-format"}),
        )
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield Claim(
            name=f"tiff-fax-damaged-{compression}",
            given=f"a fax with a damaged row ({compression})",
            make=partial(_damaged_fax, compression),
            recipe={"fit": "none", "format": "png"},
            rule="a damaged picture is refused",
            reason="libtiff says 'Bad code word', and goes on with pixels of its own",
            refused=frozenset({"corrupt"}),
        )


def _damaged_fax(compression: str) -> bytes:
    file = bytearray(images.encoded(images.scene(200, 150).convert("1"), "TIFF", compression=compression))
    file[len(file) // 2 : len(file) // 2 + 4] = b"\2\xaa\0\x55"  # in the middle of the rows
    return bytes(file)

"""Claims: transparent pixels, their background, and the colours hidden under them."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from conformance import checks, pictures
from conformance.claims import Check, Claim
from support.pictures import animations, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.output import Output

_PNG: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}
FRINGE: Final = "libvips/libvips#599, nodeca/pica#60: hidden colours bleed into edges"
_FLATTEN: Final = "lovell/sharp#687: transparency became black"


def claims() -> Iterator[Claim]:
    yield from _resized()
    yield from _flattened()
    yield from _kept()


def claim(  # noqa: PLR0917 -- the columns of a table
    name: str, given: str, make: Callable[[], bytes], recipe: Mapping[str, Any], rule: str, reason: str, *ways: Check
) -> Claim:
    return Claim(name=name, given=given, make=make, recipe=recipe, rule=rule, reason=reason, checks=ways)


def _resized() -> Iterator[Claim]:
    hole = pictures.hole()
    for image_format in ("png", "webp"):
        yield claim(
            f"no-fringe-{image_format}",
            "opaque red beside nothing, where a green is hidden (PNG)",
            partial(images.encoded, hole, "PNG"),
            {"width": 13, "height": 13, "format": image_format, "lossless": image_format == "webp"},
            "alpha weighs the colours when pixels are averaged: what is hidden stays out",
            FRINGE,
            no_fringe(),
        )
    grey = Image.merge("LA", (hole.getchannel("G"), hole.getchannel("A")))
    yield claim(
        "no-fringe-grey",
        "opaque dark grey beside nothing, where white is hidden (PNG, grey and alpha)",
        partial(images.encoded, grey, "PNG"),
        {"width": 13, "height": 13, "format": "png"},
        "alpha weighs grey too",
        FRINGE,
        no_fringe(),
    )
    yield claim(
        "no-fringe-flattened",
        "opaque red beside nothing, where a green is hidden (PNG)",
        partial(images.encoded, hole, "PNG"),
        {"width": 13, "height": 13, "background": "#dc1e1e", "quality": 95},
        "what is hidden stays out of a flattened picture as well",
        FRINGE,
        checks.is_even(1, 10, 50),
    )
    yield claim(
        "no-fringe-palette",
        "opaque red beside nothing, where a green is hidden (GIF)",
        partial(hole_gif),
        {"width": 13, "height": 13, "format": "png"},
        "a transparent entry of a palette weighs nothing",
        FRINGE,
        no_fringe(),
    )
    mesh = np.zeros((64, 64, 4), dtype=np.uint8)
    mesh[::2, ::2] = mesh[1::2, 1::2] = (0, 0, 0, 255)
    yield claim(
        "mesh",
        "every other pixel black, the others transparent (PNG)",
        partial(images.encoded, Image.fromarray(mesh), "PNG"),
        {"width": 8, "height": 8, "background": "#ffffff", "quality": 95},
        "averaging and flattening commute: half black on white is grey",
        FRINGE,
        checks.is_even(0, 118, 138),
    )


def no_fringe() -> Check:
    def fault(output: Output) -> str | None:
        seen = output.rgba[output.rgba[..., 3] > 16]
        worst = int(seen[:, 1].max())
        return None if worst <= 36 else f"green reaches {worst} where something is to be seen"

    return Check("where something is to be seen, green stays at 30, give or take 6", fault)


def hole_gif() -> bytes:
    return animations.gif((64, 64), [animations.Frame(pictures.rgba(pictures.hole()))])


def _flattened() -> Iterator[Claim]:
    scene = partial(images.encoded, pictures.with_hole(), "PNG")
    top_right, bottom_right = (0.9, 0.1), (0.9, 0.9)
    for name, recipe, colour in (
        ("white", {}, (255, 255, 255)),
        ("black", {"background": "#000000"}, (0, 0, 0)),
        ("colour", {"background": "#3366cc"}, (0x33, 0x66, 0xCC)),
    ):
        yield claim(
            f"flattened-on-{name}",
            "a PNG whose right half is transparent, over a hidden red",
            scene,
            {"width": 48, "height": 48, "quality": 95} | recipe,
            "in a JPEG the preset's background is under what is transparent, by default white",
            _FLATTEN,
            checks.is_a("JPEG"),
            checks.has(top_right, colour, 6),
            checks.has(bottom_right, colour, 6),
            checks.has((0.03, 0.03), images.CORNERS["top-left"], 40),
        )
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 128))
    yield claim(
        "flattened-half",
        "black at half transparency (PNG)",
        partial(images.encoded, half, "PNG"),
        {"fit": "none", "quality": 95},
        "what is half transparent mixes with the background by its alpha",
        "Porter and Duff, 1984: over",
        checks.is_even(0, 125, 129),
    )
    for image_format in ("WEBP", "GIF", "AVIF", "HEIC", "TIFF"):
        yield claim(
            f"flattened-{image_format.lower()}",
            f"the scene with a transparent right half ({image_format})",
            partial(_with_hole_as, image_format),
            {"fit": "none", "quality": 95},
            "the background is under transparency in every format",
            _FLATTEN,
            checks.has((0.75, 0.5), (255, 255, 255), 8),
            checks.has((0.03, 0.03), images.CORNERS["top-left"], 60),
        )
    yield claim(
        "all-transparent",
        "a PNG without a visible pixel, over a hidden red",
        partial(images.encoded, Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "PNG"),
        {"width": 32, "height": 32},
        "a picture in which nothing is to be seen is a background",
        _FLATTEN,
        checks.has((0.5, 0.5), (255, 255, 255), 2),
    )


def _with_hole_as(image_format: str) -> bytes:
    image = pictures.with_hole()
    if image_format == "HEIC":
        return images.heic(image)
    if image_format == "AVIF":
        return images.avif(image)
    if image_format == "GIF":
        return animations.gif(image.size, [animations.Frame(_few_colours(image))])
    return images.encoded(image, image_format)


def _few_colours(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    few = image.convert("RGB").quantize(64).convert("RGBA")
    few.putalpha(image.getchannel("A"))
    return np.asarray(few)


def _kept() -> Iterator[Claim]:
    image = pictures.with_hole()
    for image_format, within in (("png", 0), ("webp", 0), ("avif", 4)):
        yield claim(
            f"kept-{image_format}",
            "a PNG with a transparent right half",
            partial(images.encoded, image, "PNG"),
            {"fit": "none", "format": image_format} | ({} if image_format == "png" else {"quality": 90}),
            f"{image_format} keeps transparency, whatever the preset's background",
            "the formats have alpha",
            alpha_is(np.asarray(image.getchannel("A")), within),
        )
    soft = images.scene(pictures.WIDTH, pictures.HEIGHT).convert("RGBA")
    soft.putalpha(pictures.ramp(pictures.WIDTH, pictures.HEIGHT).convert("L"))
    for image_format in ("PNG", "WEBP", "AVIF", "HEIC", "TIFF"):
        save = {"AVIF": images.avif, "HEIC": images.heic}.get(image_format)
        make = partial(save, soft) if save else partial(images.encoded, soft, image_format)
        yield claim(
            f"soft-alpha-{image_format.lower()}",
            f"a picture that fades from nothing to opaque ({image_format})",
            make,
            _PNG,
            "alpha of every depth is read from every format that has it",
            "the formats have alpha",
            alpha_is(np.asarray(soft.getchannel("A")), 6),
        )
    yield claim(
        "premultiplied-tiff",
        "a TIFF whose colours are multiplied with alpha already (ExtraSamples 1)",
        partial(_associated_tiff),
        _PNG,
        "associated alpha is undone, not applied twice",
        "TIFF 6.0, section 18: ExtraSamples 1 is associated alpha",
        checks.has((0.5, 0.5), (200, 100, 50, 128), 2),
    )
    yield claim(
        "32-bit-bmp",
        "a BMP of 32 bits with an alpha mask",
        partial(_bmp_with_alpha),
        _PNG,
        "a BMP's alpha counts when its header has a mask for it",
        "BITMAPV4HEADER: bV4AlphaMask",
        checks.has((0.25, 0.5), (10, 120, 240, 255), 0),
        alpha_is(np.repeat(np.array([[255, 0]], dtype=np.uint8), 8, axis=1).repeat(8, axis=0), 0),
    )


def alpha_is(expected: np.ndarray[Any, np.dtype[np.uint8]], within: int) -> Check:
    def fault(output: Output) -> str | None:
        found = output.rgba[..., 3]
        if found.shape != expected.shape:
            return f"it is {output.size[0]} by {output.size[1]} pixels"
        worst = int(np.abs(found - expected.astype(np.int16)).max())
        return None if worst <= within else f"alpha is off by {worst}"

    return Check(f"alpha is the original's, within {within}", fault)


def _associated_tiff() -> bytes:
    data = bytearray(images.encoded(Image.new("RGBA", (16, 16), (100, 50, 25, 128)), "TIFF"))
    at = data.index(struct.pack("<HHI", 338, 3, 1))
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    return bytes(data)


def _bmp_with_alpha() -> bytes:
    row = bytes((240, 120, 10, 255)) * 8 + bytes((240, 120, 10, 0)) * 8
    header = struct.pack("<IiiHHIIiiII4I", 108, 16, 8, 1, 32, 3, 0, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = header.ljust(108, b"\0")
    return struct.pack("<2sIII", b"BM", 122 + 8 * 64, 0, 122) + header + row * 8

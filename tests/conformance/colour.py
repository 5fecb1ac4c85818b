"""Claims: colours come out in sRGB as the original's profile meant them. References are by numpy, not by littleCMS."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import checks, pictures
from conformance.claims import Claim
from support.pictures import images, profiles
from support.pictures.containers import icc_segments, jpeg_with, png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from PIL import Image

Colour = tuple[int, int, int]

COLOURS: Final[tuple[Colour, ...]] = (
    (60, 180, 90), (200, 60, 50), (40, 60, 200), (128, 128, 128), (255, 255, 255), (0, 0, 0), (220, 180, 60),
)  # fmt: skip
_PNG: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}
_ICC: Final = "ICC.1:2022; without its profile the picture is dull or garish in every browser"


def claims() -> Iterator[Claim]:
    yield from _matrix_profiles()
    yield from _grey_profiles()
    yield from _ignored()


def saved(image: Image.Image, image_format: str, profile: bytes) -> bytes:
    """Save with a profile, and as good as without loss."""
    if image_format == "HEIC":
        return images.heic(image, icc_profile=profile, quality=-1, chroma=444)
    if image_format == "JPEG":
        return jpeg_with(images.jpeg(image, quality=100, subsampling="4:4:4"), *icc_segments(profile))
    exact: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True, "exact": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    return images.encoded(image, image_format, icc_profile=profile, **exact.get(image_format, {}))


def colour_claim(
    name: str,
    given: str,
    make: Callable[[], bytes],
    expected: Sequence[tuple[int, ...]],
    *,
    rule: str = "the colours are those that the profile means, in sRGB",
    reason: str = _ICC,
    within: int = 3,
    recipe: Mapping[str, Any] = _PNG,
) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe=recipe,
        rule=rule,
        reason=reason,
        checks=(checks.shows(expected, within),),
    )


def _matrix_profiles() -> Iterator[Claim]:
    p3 = images.display_p3_profile()
    in_p3 = [profiles.in_srgb(colour, profiles.DISPLAY_P3, profiles.srgb_to_light) for colour in COLOURS]
    for image_format in ("JPEG", "PNG", "WEBP", "AVIF", "HEIC", "TIFF"):
        yield colour_claim(
            f"display-p3-{image_format.lower()}",
            f"squares in Display P3 ({image_format})",
            partial(saved, pictures.patches(COLOURS), image_format, p3),
            in_p3,
        )
    yield colour_claim(
        "display-p3-resized",
        "squares in Display P3 (JPEG), to be halved",
        partial(saved, pictures.patches(COLOURS, 32), "JPEG", p3),
        in_p3,
        recipe={"width": 112, "height": 16, "format": "png"},
    )
    adobe = profiles.rgb_profile(profiles.ADOBE_RGB, profiles.ADOBE_GAMMA)
    in_adobe = [profiles.in_srgb(colour, profiles.ADOBE_RGB, profiles.ADOBE_GAMMA) for colour in COLOURS]
    for image_format in ("JPEG", "PNG", "TIFF"):
        yield colour_claim(
            f"adobe-rgb-{image_format.lower()}",
            f"squares in Adobe RGB ({image_format})",
            partial(saved, pictures.patches(COLOURS), image_format, adobe),
            in_adobe,
        )
    yield colour_claim(
        "srgb-profile",
        "squares with a profile that is sRGB's",
        partial(saved, pictures.patches(COLOURS), "PNG", profiles.rgb_profile(profiles.SRGB, 2.2)),
        [profiles.in_srgb(colour, profiles.SRGB, 2.2) for colour in COLOURS],
        within=1,
    )
    yield colour_claim(
        "no-profile",
        "squares without a profile",
        partial(images.encoded, pictures.patches(COLOURS), "PNG"),
        COLOURS,
        rule="without a profile colours are sRGB already",
        reason="CSS Color 4: untagged images are sRGB",
        within=0,
    )
    yield from _p3_in_other_pixels(p3, in_p3)


def _p3_in_other_pixels(p3: bytes, in_p3: Sequence[Colour]) -> Iterator[Claim]:
    squares = pictures.patches(COLOURS)
    yield colour_claim(
        "display-p3-palette",
        "squares in Display P3 (PNG with a palette)",
        partial(saved, squares.quantize(len(COLOURS)), "PNG", p3),
        in_p3,
        reason="PNG, third edition: iCCP is about the palette's colours",
    )
    translucent = squares.convert("RGBA")
    translucent.putalpha(100)
    for image_format in ("PNG", "WEBP"):
        yield colour_claim(
            f"display-p3-alpha-{image_format.lower()}",
            f"translucent squares in Display P3 ({image_format})",
            partial(saved, translucent, image_format, p3),
            [(*colour, 100) for colour in in_p3],
            rule="a profile changes colours and leaves alpha alone",
        )
    yield colour_claim(
        "display-p3-16-bit",
        "squares in Display P3 (PNG of 16 bits)",
        partial(_png16, COLOURS, p3),
        in_p3,
    )
    yield colour_claim(
        "display-p3-in-pieces",
        "squares in Display P3 (JPEG whose profile comes in three pieces, the last one first)",
        partial(_in_pieces, p3),
        in_p3,
        reason="ICC.1:2022, B.4: a JPEG's profile is put together by the pieces' numbers",
    )
    for image_format in ("AVIF", "HEIC"):
        yield colour_claim(
            f"display-p3-nclx-{image_format.lower()}",
            f"squares in Display P3, as colour primaries 12 say without any ICC profile ({image_format})",
            partial(_nclx_p3, image_format),
            in_p3,
            rule="coding-independent code points are a profile too",
            reason="ISO/IEC 23091-2 (primaries 12: SMPTE EG 432-1); ISO/IEC 14496-12: colr",
        )


def _in_pieces(profile: bytes) -> bytes:
    pieces = icc_segments(profile, 3)
    return jpeg_with(images.jpeg(pictures.patches(COLOURS), quality=100, subsampling="4:4:4"), *pieces[::-1])


def _nclx_p3(image_format: str) -> bytes:
    squares = pictures.patches(COLOURS)
    if image_format == "HEIC":
        data = images.heic(squares, quality=-1, chroma=444)
    else:
        data = images.avif(squares, quality=100, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    return data[:at] + b"\0\x0c" + data[at + 2 :]


def _png16(colours: Sequence[Colour], profile: bytes) -> bytes:
    row = np.repeat(np.array(colours, dtype=">u2") * 257, 16, axis=0)
    rows = np.broadcast_to(row, (16, *row.shape)).tobytes()
    chunk = b"icc\0\0" + zlib.compress(profile)
    return png(len(row), 16, rows, bits=16, kind=2, more=[(b"iCCP", chunk)])


def _grey_profiles() -> Iterator[Claim]:
    greys = [0, 20, 60, 128, 200, 255]
    expected = [profiles.srgb_of(np.full(3, grey / 255)) for grey in greys]
    squares = pictures.patches([(grey,) for grey in greys], mode="L")
    for image_format in ("JPEG", "PNG", "TIFF"):
        yield colour_claim(
            f"linear-grey-{image_format.lower()}",
            f"grey squares whose profile is linear ({image_format})",
            partial(saved, squares, image_format, profiles.grey_profile(1.0)),
            expected,
            reason="ICC.1:2022, 8.3.4: a monochrome profile has one curve; scanners write them",
        )
    translucent = squares.convert("LA")
    translucent.putalpha(200)
    yield colour_claim(
        "linear-grey-alpha",
        "translucent grey squares whose profile is linear (PNG)",
        partial(saved, translucent, "PNG", profiles.grey_profile(1.0)),
        [(*colour, 200) for colour in expected],
    )


def _ignored() -> Iterator[Claim]:
    p3 = images.display_p3_profile()
    bad = {
        "garbage": b"this is no profile " * 20,
        "empty": b"",
        "cut-off": p3[:200],
        "grey": profiles.grey_profile(1.0),
        "cmyk": profiles.cmyk_profile(lambda inks: inks[:3]),
        "device-link": profiles.icc_file({}, kind=b"link"),
        "no-tags": profiles.icc_file({}),
        "wrong-offsets": p3[:132] + bytes(255 - byte for byte in p3[132:]),
    }
    for name, profile in bad.items():
        yield colour_claim(
            f"ignored-{name}",
            f"an RGB JPEG whose profile is no good ({name})",
            partial(saved, pictures.patches(COLOURS), "JPEG", profile),
            COLOURS,
            rule="a profile that is broken or does not fit is ignored, and does not cost the picture",
            reason="libvips/libvips#831: an image failed for its profile",
        )
    greys = [(grey,) for grey in (0, 60, 128, 255)]
    yield colour_claim(
        "ignored-rgb-on-grey",
        "a grey JPEG with the profile of an RGB display",
        partial(saved, pictures.patches(greys, mode="L"), "JPEG", p3),
        [(grey, grey, grey) for (grey,) in greys],
        rule="a profile that does not fit is ignored",
        reason="cameras' black-and-white modes write them",
    )
    yield colour_claim(
        "ignored-png-garbage",
        "a PNG whose iCCP chunk is garbage",
        partial(_png_with_bad_profile),
        COLOURS,
        rule="a broken profile does not cost the picture",
        reason="libpng warns and goes on",
    )


def _png_with_bad_profile() -> bytes:
    row = np.repeat(np.array(COLOURS, dtype=np.uint8), 16, axis=0)
    rows = np.broadcast_to(row, (16, *row.shape)).tobytes()
    return png(len(row), 16, rows, bits=8, kind=2, more=[(b"iCCP", b"icc\0\0" + zlib.compress(b"no profile" * 30))])

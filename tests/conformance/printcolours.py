"""Claims: CMYK and XYB, whose profiles are tables, come out in sRGB."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import pictures
from conformance.colour import COLOURS, colour_claim, saved
from support.pictures import images, profiles
from support.pictures.containers import icc_segments, jpeg_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conformance.claims import Claim

Colour = tuple[int, int, int]

_INKS: Final[tuple[profiles.Inks, ...]] = (
    (0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 255, 255, 0), (255, 255, 0, 0), (0, 0, 0, 255),
)  # fmt: skip


def claims() -> Iterator[Claim]:
    yield from _tables()


def _press(inks: profiles.Inks) -> Colour:
    """Return what a strange press makes of inks: they are in each other's places."""
    c, m, y, k = (ink // 255 for ink in inks)
    return (0, 0, 0) if k else (255 * (1 - y), 255 * (1 - c), 255 * (1 - m))


def _tables() -> Iterator[Claim]:
    inks = pictures.patches(_INKS, mode="CMYK")
    for image_format in ("JPEG", "TIFF"):
        yield colour_claim(
            f"cmyk-profile-{image_format.lower()}",
            f"squares in CMYK with the profile of a strange press ({image_format})",
            partial(saved, inks, image_format, profiles.cmyk_profile(_press)),
            [_press(ink) for ink in _INKS],
            reason="ICC.1:2022, 10.10 (lut16Type); thumbor/thumbor#586; Adobe writes CMYK JPEGs inverted",
            within=4,
        )
        # What the FOGRA39 characterisation gives; another free profile may differ a little.
        coated = ((255, 255, 255), (0, 158, 224), (230, 0, 126), (255, 237, 0), (227, 6, 20), (49, 39, 131))
        yield colour_claim(
            f"cmyk-no-profile-{image_format.lower()}",
            f"squares in CMYK without a profile ({image_format})",
            partial(images.encoded, pictures.patches(_INKS[:6], mode="CMYK"), image_format, **_best(image_format)),
            coated,
            rule="CMYK without a profile is that of coated paper, and not the opposite of RGB",
            reason="libvips/libvips#861: no route from cmyk; lovell/sharp#1649; full red ink is (227, 6, 20)",
            within=25,
        )
    yield colour_claim(
        "cmyk-black",
        "black ink in CMYK without a profile (JPEG)",
        partial(images.jpeg, pictures.patches([(0, 0, 0, 255), (255, 255, 255, 255)], mode="CMYK"), quality=100),
        [(20, 20, 20), (10, 10, 10)],
        rule="black ink is black, and not inverted",
        reason="lovell/sharp#1649: negatives",
        within=25,
    )
    yield colour_claim(
        "cmyk-broken-profile",
        "squares in CMYK with the profile of an RGB display (JPEG)",
        partial(saved, pictures.patches(_INKS[:2], mode="CMYK"), "JPEG", images.display_p3_profile()),
        [(255, 255, 255), (0, 158, 224)],
        rule="a profile that does not fit is ignored",
        reason="libvips/libvips#831: a tagged CMYK image with Adobe RGB's profile failed",
        within=25,
    )
    saturated = [*COLOURS, (240, 200, 20), (10, 20, 220), (200, 40, 30)]
    xyb = profiles.to_xyb(np.array(saturated, dtype=np.uint8))
    stored = [tuple(pixel) for pixel in xyb.tolist()]
    yield colour_claim(
        "xyb-jpeg",
        "squares in XYB, as jpegli writes them (JPEG of three components without YCbCr, profile with curves and cube)",
        partial(_xyb, stored),
        [profiles.from_xyb(pixel) for pixel in stored],
        reason="google/jpegli --xyb; ICC.1:2022, 10.12 (lutAToBType)",
    )


def _best(image_format: str) -> dict[str, Any]:
    return {"quality": 100} if image_format == "JPEG" else {}


def _xyb(stored: Sequence[tuple[int, ...]]) -> bytes:
    bare = images.jpeg(pictures.patches(stored), quality=100, subsampling="4:4:4", keep_rgb=True)
    return jpeg_with(bare, *icc_segments(profiles.xyb_profile()))

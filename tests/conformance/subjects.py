"""All claims, by subject."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from conformance import (
    animation,
    avifkinds,
    bmpkinds,
    budgets,
    colorkeys,
    colour,
    damage,
    depth,
    disposal,
    encoders,
    formats,
    framing,
    grids,
    hostile,
    metadataplaces,
    orientation,
    orientationtags,
    pixels,
    pngchunks,
    printcolours,
    privacy,
    refusals,
    sizes,
    statedcolours,
    tenbits,
    tiffkinds,
    tolerance,
    transparency,
    ycck,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from conformance.claims import Claim

SUBJECTS: Final[Mapping[str, tuple[ModuleType, ...]]] = {
    "orientation": (orientation, orientationtags),
    "sizes": (sizes, framing),
    "colour": (colour, statedcolours, printcolours, ycck, depth, tenbits),
    "pixels": (pixels, tiffkinds, bmpkinds),
    "transparency": (transparency, colorkeys),
    "animation": (animation, disposal),
    "formats": (formats, avifkinds, grids, refusals),
    "encoders": (encoders, budgets),
    "privacy": (privacy, metadataplaces),
    "damage": (damage, tolerance, pngchunks),
    "hostile": (hostile,),
}
"""The modules whose ``claims`` are about each subject."""


_OWN_CHOICES: Final = (
    "encoders/chroma-",
    "sizes/cover-small",
    "sizes/cover-short-side",
    "sizes/cover-thin",
    "privacy/png-resolution",
    "colour/cmyk-no-profile",
    "colour/cmyk-broken-profile",
    "colour/cmyk-black",
    # What one job may cost, and what becomes of a picture that is too large for a format.
    "encoders/budget-",
    "animation/too-many-",
    "hostile/jpeg-2010-scans",
    "hostile/webp-9400",
    "hostile/webp-16383",
    "sizes/enlarge-to-the-limit",
    "sizes/height-only-webp-limit",
    "sizes/none-jpeg-limit",
    "sizes/none-webp-limit",
    # What others may know how to read.
    "formats/not-eps",
    "formats/not-heic-of-av1",
    "formats/not-ico",
    "formats/not-jpeg-",
    "formats/not-pdf",
    "formats/not-ppm",
    "formats/not-psd",
    "formats/not-svg",
    "formats/not-tga",
    "formats/not-tiff-",
    "formats/not-xbm",
    "pixels/bmp-not-",
    "pixels/tiff-not-",
)
"""The beginnings of names of claims that follow from no standard: others may choose otherwise.

Besides costs and formats they are about the chroma of outputs, a cover of pictures that are too small for it, the
resolution in pHYs, and CMYK as FOGRA39.
"""


def claims_of(subject: str, module: ModuleType) -> Iterator[Claim]:
    """Make the claims of a module; their names begin with its subject."""
    for claim in module.claims():
        name = f"{subject}/{claim.name}"
        yield replace(claim, name=name, own_choice=name.startswith(_OWN_CHOICES))


@cache
def all_claims() -> tuple[Claim, ...]:
    """Return every claim."""
    return tuple(
        claim for subject, modules in SUBJECTS.items() for module in modules for claim in claims_of(subject, module)
    )

"""All claims, by subject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from conformance import (
    animation,
    avifkinds,
    bmpkinds,
    colorkeys,
    colour,
    damage,
    depth,
    disposal,
    encoders,
    formats,
    framing,
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
    tiffkinds,
    tolerance,
    transparency,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from conformance.claims import Claim

SUBJECTS: Final[Mapping[str, tuple[ModuleType, ...]]] = {
    "orientation": (orientation, orientationtags),
    "sizes": (sizes, framing),
    "colour": (colour, statedcolours, printcolours, depth),
    "pixels": (pixels, tiffkinds, bmpkinds),
    "transparency": (transparency, colorkeys),
    "animation": (animation, disposal),
    "formats": (formats, avifkinds, refusals),
    "encoders": (encoders,),
    "privacy": (privacy, metadataplaces),
    "damage": (damage, tolerance, pngchunks),
    "hostile": (hostile,),
}
"""The modules whose ``claims`` are about each subject."""


def all_claims() -> list[Claim]:
    """Return every claim; its name begins with its subject."""
    return [
        replace(claim, name=f"{subject}/{claim.name}")
        for subject, modules in SUBJECTS.items()
        for module in modules
        for claim in module.claims()
    ]

"""All claims, by subject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from conformance import (
    animation,
    bearings,
    colour,
    damage,
    depth,
    disposal,
    encoders,
    formats,
    framing,
    hidingplaces,
    hostile,
    keyed,
    orientation,
    pixels,
    printing,
    privacy,
    sizes,
    transparency,
    turnedaway,
    untidy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from conformance.claims import Claim

SUBJECTS: Final[Mapping[str, tuple[ModuleType, ...]]] = {
    "orientation": (orientation, bearings),
    "sizes": (sizes, framing),
    "colour": (colour, printing, depth),
    "pixels": (pixels,),
    "transparency": (transparency, keyed),
    "animation": (animation, disposal),
    "formats": (formats, turnedaway),
    "encoders": (encoders,),
    "privacy": (privacy, hidingplaces),
    "damage": (damage, untidy),
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

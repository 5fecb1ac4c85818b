"""The mixes of jobs for the whole service: what its originals are, and how many jobs tell something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.bench.cases import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Mix:
    """Jobs whose originals are ``cases`` in turn; ``jobs`` are measured unless another number is asked for."""

    name: str
    cases: tuple[Case, ...]
    jobs: int


_FULL_HD: Final = 1920, 1080

MIXES: Final[Mapping[str, Mix]] = {
    mix.name: mix
    for mix in (
        Mix("tiny", (Case("tiny", "photo", 320, 240, "JPEG", {"quality": 85}),), 400),
        Mix("camera", (CASES["jpeg-12mp"],), 40),
        Mix(
            "web",
            (
                Case("jpeg-progressive-2mp", "photo", *_FULL_HD, "JPEG", {"quality": 85, "progressive": True}),
                Case("png-screenshot-2mp", "screenshot", *_FULL_HD, "PNG", {}),
                Case("webp-2mp", "photo", *_FULL_HD, "WEBP", {"quality": 80, "method": 2}),
                Case("jpeg-small", "photo", 800, 600, "JPEG", {"quality": 85}),
            ),
            80,
        ),
    )
}

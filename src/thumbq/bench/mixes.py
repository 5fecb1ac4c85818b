"""The mixes of jobs for the whole service: what its originals are, and how many jobs tell something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.bench.cases import CASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.bench.cases import Case


@dataclass(frozen=True, slots=True)
class Mix:
    """Jobs whose originals are ``cases`` in turn; ``jobs`` are measured unless another number is asked for."""

    name: str
    cases: tuple[Case, ...]
    jobs: int


_WEB: Final = ("jpeg-progressive-2mp", "png-screenshot-2mp", "webp-2mp", "jpeg-small")

MIXES: Final[Mapping[str, Mix]] = {
    mix.name: mix
    for mix in (
        Mix("tiny", (CASES["jpeg-tiny"],), 400),
        Mix("camera", (CASES["jpeg-12mp"],), 40),
        Mix("web", tuple(CASES[name] for name in _WEB), 80),
    )
}

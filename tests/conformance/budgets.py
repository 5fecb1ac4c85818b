"""Claims: of several presets what can be made is made, and of each of the others it is told why not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from conformance import animationchecks, checks
from conformance.claims import Claim
from support.pictures import bombs, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_COLOUR: Final = (0, 128, 128)
_SMALL: Final[Mapping[str, Any]] = {"width": 60, "height": 60}
_AVATAR: Final[Mapping[str, Any]] = {"width": 20, "height": 20, "fit": "fill", "format": "png"}
_DEAR: Final[Mapping[str, Mapping[str, Any]]] = {
    "avif-of-effort": {"fit": "none", "format": "avif", "effort": 9},
    "huge-avif": {"width": 12_000, "height": 12_000, "fit": "fill", "format": "avif"},
    "huge-jpeg": {"width": 16_000, "height": 16_000, "fit": "fill"},
    "huge-png": {"width": 16_000, "enlarge": True, "format": "png"},
    "huge-lossless-webp": {"width": 16_000, "enlarge": True, "format": "webp", "lossless": True},
}
_REASON: Final = "docs/manifest.md: one preset over the budget is no reason to make none"


def claims() -> Iterator[Claim]:
    for name, dear in _DEAR.items():
        yield _claim(f"{name}-after-cheap-ones", [_SMALL, _AVATAR, dear], {2: "too-large"})
        yield _claim(f"{name}-before-cheap-ones", [dear, _SMALL, _AVATAR], {0: "too-large"})
    every = dict.fromkeys(range(1, len(_DEAR) + 1), "too-large")
    yield _claim("cheap-ones-around-dear-ones", [_SMALL, *_DEAR.values(), _AVATAR], every)
    yield from _frames()
    yield Claim(
        name="budget-nothing-cheap",
        given="a PNG of 900 by 600 pixels",
        make=_plain,
        recipe=_DEAR["huge-avif"],
        others=(_DEAR["huge-jpeg"], _DEAR["avif-of-effort"]),
        rule="a job of which nothing can be made is refused",
        reason=_REASON,
        refused=frozenset({"too-large"}),
    )


def _claim(name: str, recipes: Sequence[Mapping[str, Any]], not_made: Mapping[int, str]) -> Claim:
    return Claim(
        name=f"budget-{name}",
        given="a PNG of 900 by 600 pixels",
        make=_plain,
        recipe=recipes[0],
        others=tuple(recipes[1:]),
        not_made=not_made,
        rule="of several presets what can be made is made, and the others are named with their reasons",
        reason=_REASON,
        checks=(
            checks.is_a("JPEG"),
            checks.is_sized(60, 40),
            checks.has((0.5, 0.5), _COLOUR, 4),
            checks.others([checks.is_a("PNG"), checks.is_sized(20, 20), checks.has((0.5, 0.5), _COLOUR)]),
        ),
    )


def _frames() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, Callable[[], bytes], Mapping[str, Any], str]] = {
        "too-many-frames": (
            "a GIF of 600 frames",
            partial(bombs.gif, 10, 10, frames=600),
            {"fit": "none", "format": "webp", "animated": True},
            "too-many-frames",
        ),
        "dear-animation": (
            "a GIF of 400 frames",
            partial(bombs.gif, 10, 10, frames=400),
            {"width": 2_000, "height": 2_000, "fit": "fill", "format": "avif", "animated": True},
            "too-large",
        ),
    }
    for name, (given, make, moving, code) in cases.items():
        yield Claim(
            name=f"budget-{name}",
            given=given,
            make=make,
            recipe={"fit": "none", "format": "png"},
            others=(moving, {"width": 5, "format": "webp"}),
            not_made={1: code},
            rule="an animation that is too dear costs no still",
            reason=_REASON,
            checks=(
                checks.is_sized(10, 10),
                animationchecks.is_a_still(),
                checks.others([checks.is_a("WEBP"), checks.is_sized(5, 5), animationchecks.is_a_still()]),
            ),
        )


def _plain() -> bytes:
    return images.encoded(Image.new("RGB", (900, 600), _COLOUR), "PNG")

"""Claims: an animation stays one when the preset says so, and is its composited first frame when it does not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import animationchecks, checks, pictures
from conformance.claims import Check, Claim
from support.pictures import animations, images
from support.pictures.animations import Frame, composited, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from conformance.output import Output

CANVAS: Final = (60, 40)
RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 30)
MOVING: Final[dict[str, Any]] = {"fit": "none", "animated": True}
EXACT: Final[dict[str, Any]] = {"format": "webp", "lossless": True}
STILL: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}

_FRAMES: Final = (
    Frame(plain(CANVAS, RED), delay_ms=70),
    Frame(plain((20, 10), GREEN), (10, 10), 120),
    Frame(plain((20, 10), BLUE), (30, 20), 200),
)

WRITERS: Final[Mapping[str, Callable[..., bytes]]] = {
    "gif": animations.gif,
    "apng": animations.apng,
    "webp": animations.webp,
    "avif": animations.avif,
}


def claims() -> Iterator[Claim]:
    yield from _stills()
    yield from _moving()
    yield from _delays_and_plays()


def _still(name: str, given: str, make: Callable[[], bytes], seen: NDArray[np.uint8], reason: str) -> Claim:
    return Claim(
        name=f"still-{name}",
        given=given,
        make=make,
        recipe=STILL,
        rule="unless the preset says otherwise an animation becomes its first frame, composited on the canvas",
        reason=reason,
        checks=(animationchecks.is_a_still(), checks.equals(seen, within=8 if "avif" in name else 0)),
    )


def _stills() -> Iterator[Claim]:
    first = plain(CANVAS, RED)
    for name, write in WRITERS.items():
        make = partial(write, CANVAS, _FRAMES)
        yield _still(name, f"a {name} of three frames", make, first, "core/preset.py: animated")
    inset = [Frame(plain((20, 10), GREEN), (30, 20)), Frame(plain(CANVAS, RED))]
    small = next(iter(composited(CANVAS, inset)))
    for name in ("gif", "webp"):
        yield _still(
            f"inset-{name}",
            f"a {name} whose first frame covers a part of the canvas only",
            partial(WRITERS[name], CANVAS, inset),
            small,
            "the canvas is the picture; uncovered pixels are transparent: python-pillow/Pillow#5548",
        )
    yield Claim(
        name="still-inset-flattened",
        given="a GIF whose first frame covers a part of the canvas only",
        make=partial(animations.gif, CANVAS, inset),
        recipe={"fit": "none", "quality": 95, "background": "#336699"},
        rule="what the first frame leaves open is transparent, and so shows the preset's background",
        reason="python-pillow/Pillow#5548",
        checks=(checks.has((0.1, 0.1), (0x33, 0x66, 0x99), 8), checks.has((0.65, 0.6), GREEN, 12)),
    )
    yield _still(
        "apng-default-image",
        "an APNG whose default image is no part of the animation",
        partial(animations.apng, CANVAS, _FRAMES, default=plain(CANVAS, YELLOW)),
        plain(CANVAS, YELLOW),
        "PNG, third edition: the static image is what stands for the file where nothing moves",
    )
    far = [Frame(plain((10, 10), RED)), Frame(plain((10, 10), BLUE), (60000, 60000))]
    yield _still(
        "far-frame",
        "a GIF of 10 by 10 whose second frame lies at 60000, 60000",
        partial(animations.gif, (10, 10), far),
        plain((10, 10), RED),
        "only the first frame counts, and only it costs",
    )
    yield Claim(
        name="still-jpeg",
        given="a GIF of three frames",
        make=partial(animations.gif, CANVAS, _FRAMES),
        recipe={"width": 30, "height": 30},
        rule="an animation can become a JPEG",
        reason="core/preset.py: format",
        checks=(checks.is_a("JPEG"), checks.is_sized(30, 20), checks.has((0.5, 0.5), RED, 12)),
    )
    yield _still(
        "one-frame",
        "an animated WebP of one frame",
        partial(animations.webp, CANVAS, _FRAMES[:1]),
        plain(CANVAS, RED),
        "RFC 9649: one ANMF is no less a picture",
    )


def moves(  # noqa: PLR0917 -- the columns of a table
    name: str,
    given: str,
    make: Callable[[], bytes],
    frames: Sequence[Frame],
    recipe: dict[str, Any],
    reason: str,
    *more: Check,
    canvas: tuple[int, int] = CANVAS,
    within: int = 0,
) -> Claim:
    timeline = list(zip(composited(canvas, frames), (frame.delay_ms for frame in frames), strict=True))
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe=MOVING | recipe,
        rule="with animated every frame is there as it is seen on the canvas, and for as long",
        reason=reason,
        checks=(animationchecks.runs_as(timeline, within), *more),
    )


def _moving() -> Iterator[Claim]:
    for source, write in WRITERS.items():
        for target in ("webp", "png", "avif"):
            recipe = {"format": target} | ({"quality": 95} if target == "avif" else {"lossless": True})
            yield moves(
                f"{source}-to-{target}",
                f"a {source} of three frames of 70, 120 and 200 ms",
                partial(write, CANVAS, _FRAMES),
                _FRAMES,
                recipe,
                "core/preset.py: animated",
                checks.is_a(target.upper()),
                within=16 if "avif" in (source, target) else 0,
            )
    yield moves(
        "auto",
        "a GIF of three frames",
        partial(animations.gif, CANVAS, _FRAMES),
        _FRAMES,
        {"format": "auto", "quality": 100},
        "core/preset.py: auto takes WebP for an animation",
        checks.is_a("WEBP"),
        within=40,
    )
    yield moves(
        "auto-lossless",
        "a GIF of three frames",
        partial(animations.gif, CANVAS, _FRAMES),
        _FRAMES,
        {"format": "auto", "lossless": True},
        "core/preset.py: with lossless auto takes PNG",
        checks.is_a("PNG"),
    )
    yield moves(
        "default-image",
        "an APNG whose default image is no part of the animation",
        partial(animations.apng, CANVAS, _FRAMES, default=plain(CANVAS, YELLOW)),
        _FRAMES,
        EXACT,
        "PNG, third edition: a default image without fcTL is not shown where things move",
    )
    for source in ("jpeg", "heic"):
        yield Claim(
            name=f"{source}-does-not-move",
            given=f"a {source}, which is no animation",
            make=partial(pictures.oriented, source, 1),
            recipe={"fit": "none", "animated": True, "format": "webp"},
            rule="a still is a still, also for a preset that keeps animations",
            reason="core/preset.py: animated",
            checks=(checks.is_a("WEBP"), animationchecks.is_a_still(), checks.is_upright()),
        )
    scene = pictures.rgba(images.scene(pictures.WIDTH, pictures.HEIGHT))
    both = [Frame(scene), Frame(scene[::-1].copy())]
    for fit, size in (("contain", (48, 32)), ("cover", (32, 48)), ("fill", (30, 30))):
        box = {"width": size[0], "height": size[1] if fit != "contain" else 48}
        yield Claim(
            name=f"resized-{fit}",
            given="an animated WebP of 96 by 64",
            make=partial(animations.webp, (96, 64), both),
            recipe={"fit": fit, "format": "png", "animated": True} | box,
            rule="each frame gets the size and the part that a still would get",
            reason="lovell/sharp#2275: the height of all pages was taken for one",
            checks=(checks.is_sized(*size), _flips(cut=fit == "cover")),
        )


def _flips(*, cut: bool) -> Check:
    """Tell whether the second frame is the first one upside down."""

    def fault(output: Output) -> str | None:
        if output.frames != 2:
            return f"it has {output.frames} frames"
        if not cut and (wrong := checks.is_upright().fault(output)):
            return wrong
        first, second = (shown.rgba for shown in output.shown_frames)
        worst = int(np.abs(first - second[::-1]).max())
        return None if worst <= 3 else f"its frames differ by {worst}"

    return Check("its second frame is the first one upside down", fault)


def _delays_and_plays() -> Iterator[Claim]:
    same = (replace(_FRAMES[0], delay_ms=500), *_FRAMES, replace(_FRAMES[2], delay_ms=30))
    yield moves(
        "delays",
        "a GIF with delays from 30 to 500 ms, some of its frames alike",
        partial(animations.gif, CANVAS, same),
        same,
        EXACT,
        "frames that are alike may be merged, their time may not be lost",
    )
    counts: dict[str, tuple[str, Callable[..., bytes], int]] = {
        "gif-for-ever": ("a GIF that repeats for ever", partial(animations.gif, repeats=0), 0),
        "gif-once": ("a GIF without the NETSCAPE extension", partial(animations.gif, repeats=None), 1),
        "gif-3-repeats": ("a GIF that repeats 3 times", partial(animations.gif, repeats=3), 4),
        "apng-for-ever": ("an APNG that plays for ever", partial(animations.apng, plays=0), 0),
        "apng-2": ("an APNG that plays twice", partial(animations.apng, plays=2), 2),
        "webp-for-ever": ("a WebP that plays for ever", partial(animations.webp, plays=0), 0),
        "webp-5": ("a WebP that plays 5 times", partial(animations.webp, plays=5), 5),
    }
    for name, (given, write, plays) in counts.items():
        for target in ("webp", "png"):
            yield Claim(
                name=f"plays-{name}-to-{target}",
                given=given,
                make=partial(write, CANVAS, _FRAMES),
                recipe=MOVING | {"format": target},
                rule="it plays as often as the original: a GIF counts repeats, WebP and APNG count all plays",
                reason="ImageMagick/ImageMagick#622; apache/incubator-pagespeed-mod#1650",
                checks=(animationchecks.plays_so_often(plays),),
            )

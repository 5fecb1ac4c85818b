"""Claims: the disposal of frames, and how many there may be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from conformance import animationchecks, checks
from conformance.animation import BLUE, CANVAS, EXACT, GREEN, MOVING, RED, STILL, WRITERS, moves
from conformance.claims import Claim
from support.pictures import animations
from support.pictures.animations import Frame, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_CLEARED: Final = "GIF89a, 23; every browser clears to nothing, not to a colour (python-pillow/Pillow#5557)"


def claims() -> Iterator[Claim]:
    yield from _disposal()
    yield from _limits()


def _disposal() -> Iterator[Claim]:
    base, patch = Frame(plain(CANVAS, RED)), Frame(plain((20, 10), GREEN), (10, 10))
    last = Frame(plain((20, 10), BLUE), (30, 20))
    see_through = plain((20, 10), BLUE)
    see_through[:, ::2] = 0
    opaque: dict[str, tuple[str, Sequence[Frame]]] = {
        "keep": ("every frame stays", (base, patch, last)),
        "background": ("the second frame is cleared away", (base, replace(patch, disposal="background"), last)),
        "previous": (
            "the second frame gives way to what was there", (base, replace(patch, disposal="previous"), last),
        ),
        "previous-twice": (
            "two frames give way to what was there",
            (base, replace(patch, disposal="previous"), replace(last, disposal="previous"), patch),
        ),
        "see-through": ("a frame with holes lies over another", (base, replace(last, pixels=see_through), patch)),
        "background-holes": (
            "frames with holes are cleared away",
            (
                Frame(plain(CANVAS, (0, 0, 0, 0)), disposal="background"),
                replace(last, pixels=see_through, disposal="background"),
                replace(patch, pixels=see_through),
            ),
        ),
        "first-cleared": ("the first frame is cleared away", (replace(base, disposal="background"), patch)),
        "first-previous": ("the first frame gives way to nothing", (replace(base, disposal="previous"), patch)),
    }  # fmt: skip
    for name, (given, frames) in opaque.items():
        for source in ("gif", "apng", "webp"):
            if source == "webp" and "previous" in name:
                continue
            yield moves(
                f"disposal-{name}-{source}",
                f"a {source} of which {given}",
                partial(WRITERS[source], CANVAS, frames),
                frames,
                EXACT,
                _CLEARED if source == "gif" else "PNG, third edition: fcTL; RFC 9649: ANMF",
            )
    swapped = (base, replace(last, pixels=see_through, over=False), patch)
    for source in ("apng", "webp"):
        yield moves(
            f"replaces-{source}",
            f"a {source} of which a frame with holes replaces what was there",
            partial(WRITERS[source], CANVAS, swapped),
            swapped,
            EXACT,
            "PNG, third edition: APNG_BLEND_OP_SOURCE; RFC 9649: do not blend",
        )
    yield moves(
        "disposal-unsaid-gif",
        "a GIF of which a frame says nothing of its disposal, after one that is cleared away",
        partial(_unsaid, base, patch, last),
        (base, replace(patch, disposal="background"), last, replace(patch, at=(0, 0))),
        EXACT,
        "GIF89a, 23: 0, no disposal specified, is not what the frame before said",
    )


def _unsaid(base: Frame, patch: Frame, last: Frame) -> bytes:
    data = animations.gif(CANVAS, (base, replace(patch, disposal="background"), last, replace(patch, at=(0, 0))))
    at = -1
    for _ in range(3):
        at = data.index(b"\x21\xf9\x04", at + 1)
    return data[: at + 3] + b"\0" + data[at + 4 :]


def _limits() -> Iterator[Claim]:
    tiny = Frame(plain((1, 1), RED), delay_ms=10)
    many = [tiny, replace(tiny, pixels=plain((1, 1), BLUE))] * 251
    for name, write in (("gif", animations.gif), ("apng", animations.apng)):
        yield Claim(
            name=f"too-many-frames-{name}",
            given=f"a {name} of 502 frames",
            make=partial(write, (1, 1), many),
            recipe=MOVING | {"format": "webp"},
            rule="an animation has at most 500 frames",
            reason="imaging/__init__.py: Limits.max_frames",
            refused=frozenset({"too-many-frames"}),
        )
    yield Claim(
        name="still-of-many-frames",
        given="a GIF of 502 frames",
        make=partial(animations.gif, (1, 1), many),
        recipe=STILL,
        rule="of an animation that becomes a still only the first frame counts",
        reason="imaging/__init__.py: Limits",
        checks=(checks.is_sized(1, 1), animationchecks.is_a_still()),
    )
    large = [Frame(plain((1, 1), RED)), Frame(plain((1, 1), BLUE), (1999, 1999))] * 50
    yield Claim(
        name="too-many-pixels",
        given="a GIF of 100 frames of one pixel on a canvas of 2000 by 2000",
        make=partial(animations.gif, (2000, 2000), large),
        recipe={"width": 100, "animated": True, "format": "webp"},
        rule="an animation has at most 250 million pixels, counted as canvases",
        reason="each frame is a canvas when it is composited, however small it is in the file",
        refused=frozenset({"too-large", "too-many-frames"}),
    )
    yield Claim(
        name="still-of-many-pixels",
        given="a GIF of 100 frames of one pixel on a canvas of 2000 by 2000",
        make=partial(animations.gif, (2000, 2000), large),
        recipe={"width": 10, "format": "png"},
        rule="of an animation that becomes a still only the first frame counts",
        reason="imaging/__init__.py: Limits",
        checks=(checks.is_sized(10, 10), animationchecks.is_a_still()),
    )

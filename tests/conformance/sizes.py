"""Claims: the size that comes out, and which part of the picture is in it."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from conformance import checks
from conformance.claims import Claim
from support.pictures import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


Size = tuple[int, int]

_PRESET: Final = "core/preset.py: what the options of a preset say"

# name: size of the original, options, size that comes out, why
_SIZES: Final[Mapping[str, tuple[Size, dict[str, Any], Size, str]]] = {
    "wide": ((300, 200), {"width": 100, "height": 100}, (100, 67), "66.67 is nearer to 67"),
    "tall": ((200, 300), {"width": 100, "height": 100}, (67, 100), "66.67 is nearer to 67"),
    "rounds-down": ((101, 67), {"width": 50, "height": 50}, (50, 33), "33.17 is nearer to 33"),
    "rounds-up": ((99, 67), {"width": 50, "height": 50}, (50, 34), "33.84 is nearer to 34"),
    "exact-ratio": ((320, 240), {"width": 64, "height": 48}, (64, 48), "nothing to round"),
    "odd-primes": ((397, 211), {"width": 97, "height": 89}, (97, 52), "51.55 is nearer to 52"),
    "width-decides": ((300, 200), {"width": 60, "height": 100}, (60, 40), "the tighter side decides"),
    "height-decides": ((300, 200), {"width": 100, "height": 40}, (60, 40), "the tighter side decides"),
    "no-height": ((300, 200), {"width": 50}, (50, 33), "a missing side follows from the proportions"),
    "no-width": ((300, 200), {"height": 50}, (75, 50), "a missing side follows from the proportions"),
    "no-height-tall": ((10, 2000), {"width": 5}, (5, 1000), "a missing side has no limit of its own"),
    "no-width-long": ((2000, 10), {"height": 5}, (1000, 5), "a missing side has no limit of its own"),
    "at-least-1-high": ((1000, 1), {"width": 100, "height": 100}, (100, 1), "SmileyChris/easy-thumbnails#547"),
    "at-least-1-wide": ((1, 1000), {"width": 100, "height": 100}, (1, 100), "SmileyChris/easy-thumbnails#547"),
    "at-least-1-no-height": ((3000, 2), {"width": 10}, (10, 1), "SmileyChris/easy-thumbnails#547"),
    "one-pixel": ((1, 1), {"width": 100, "height": 100}, (1, 1), "a pixel is a picture: tracking pixels exist"),
    "to-one-pixel": ((300, 200), {"width": 1, "height": 1}, (1, 1), "the smallest box that a preset takes"),
    "no-enlarging": ((40, 30), {"width": 100, "height": 100}, (40, 30), "sharp enlarges unless it is told not to"),
    "no-enlarging-one-side": ((40, 30), {"width": 100}, (40, 30), "sharp enlarges unless it is told not to"),
    "fits-exactly": ((100, 75), {"width": 100, "height": 100}, (100, 75), _PRESET),
    "enlarge": ((40, 30), {"width": 100, "height": 100, "enlarge": True}, (100, 75), _PRESET),
    "enlarge-one-side": ((40, 30), {"height": 60, "enlarge": True}, (80, 60), _PRESET),
    "enlarge-one-pixel": ((1, 1), {"width": 20, "height": 30, "enlarge": True}, (20, 20), _PRESET),
    "enlarge-to-the-limit": ((5000, 1), {"height": 16, "enlarge": True}, (65500, 13), "JPEG_MAX_DIMENSION"),
    "fill": ((300, 200), {"width": 50, "height": 80, "fit": "fill"}, (50, 80), "always exactly the box"),
    "fill-enlarges": ((40, 30), {"width": 100, "height": 100, "fit": "fill"}, (100, 100), "always exactly the box"),
    "fill-one-pixel": ((1, 1), {"width": 10, "height": 20, "fit": "fill"}, (10, 20), "always exactly the box"),
    "fill-thin": ((1000, 1), {"width": 30, "height": 30, "fit": "fill"}, (30, 30), "always exactly the box"),
    "cover": ((300, 200), {"width": 50, "height": 50, "fit": "cover"}, (50, 50), "fills the box"),
    "cover-other-ratio": ((200, 300), {"width": 70, "height": 20, "fit": "cover"}, (70, 20), "fills the box"),
    "cover-same-ratio": ((300, 200), {"width": 60, "height": 40, "fit": "cover"}, (60, 40), "fills the box"),
    "cover-small": ((40, 30), {"width": 100, "height": 100, "fit": "cover"}, (30, 30), "the box's proportions only"),
    "cover-small-wide": ((40, 30), {"width": 200, "height": 100, "fit": "cover"}, (40, 20), "its proportions only"),
    "cover-short-side": ((300, 50), {"width": 100, "height": 100, "fit": "cover"}, (50, 50), "its proportions only"),
    "cover-thin": ((5000, 1), {"width": 10, "height": 10, "fit": "cover"}, (1, 1), "its proportions only"),
    "cover-small-extreme": ((40, 30), {"width": 1000, "height": 1, "fit": "cover"}, (40, 1), "at least one pixel"),
    "cover-enlarge": (
        (40, 30), {"width": 100, "height": 100, "fit": "cover", "enlarge": True}, (100, 100), "fills the box",
    ),
    "none": ((101, 67), {"fit": "none"}, (101, 67), "a format conversion alone keeps the size"),
    "none-one-pixel": ((1, 1), {"fit": "none"}, (1, 1), "a format conversion alone keeps the size"),
    "none-avif-small": ((5, 3), {"fit": "none", "format": "avif"}, (5, 3), "small pictures are pictures"),
    "none-webp-limit": ((17000, 10), {"fit": "none", "format": "webp"}, (16383, 10), "RFC 9649: 14 bits a side"),
    "none-jpeg-limit": ((66000, 4), {"fit": "none", "format": "jpeg"}, (65500, 4), "libjpeg's JPEG_MAX_DIMENSION"),
    "none-png-no-limit": ((66000, 4), {"fit": "none", "format": "png"}, (66000, 4), "PNG takes 2^31 - 1"),
    "height-only-webp-limit": ((20000, 8), {"height": 8, "format": "webp"}, (16383, 7), "RFC 9649: 14 bits a side"),
}  # fmt: skip


def claims() -> Iterator[Claim]:
    yield from _sizes()


def _sizes() -> Iterator[Claim]:
    for name, (original, recipe, size, why) in _SIZES.items():
        yield Claim(
            name=name,
            given=f"a PNG of {original[0]} by {original[1]} pixels",
            make=partial(_png, *original),
            recipe=recipe,
            rule=f"with {recipe} it becomes {size[0]} by {size[1]}",
            reason=why,
            checks=(checks.is_sized(*size), checks.has((0.5, 0.5), (60, 120, 180), 6)),
        )
    for image_format, extreme in product(("jpeg", "webp", "avif"), ((400, 1), (1, 400))):
        size = (20, 1) if extreme[0] > 1 else (1, 20)
        yield Claim(
            name=f"one-pixel-line-{image_format}-{extreme[0]}x{extreme[1]}",
            given=f"a PNG of {extreme[0]} by {extreme[1]} pixels",
            make=partial(_png, *extreme),
            recipe={"width": 20, "height": 20, "format": image_format},
            rule="a side never becomes 0, also in formats that code blocks",
            reason="SmileyChris/easy-thumbnails#547: 600 by 1 became 0 high",
            checks=(checks.is_sized(*size), checks.is_a(image_format.upper())),
        )


def _png(width: int, height: int) -> bytes:
    return images.encoded(Image.new("RGB", (width, height), (60, 120, 180)), "PNG")

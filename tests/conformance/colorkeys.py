"""Claims: transparency by a PNG's tRNS, and the format that auto chooses for it."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conformance import checks, pictures
from conformance.transparency import FRINGE, alpha_is, claim, hole_gif, no_fringe
from support.pictures import images
from support.pictures.containers import png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.claims import Claim


_PNG: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}
_TRNS: Final = "PNG, third edition: tRNS"


def claims() -> Iterator[Claim]:
    yield from _keyed()
    yield from _auto()


def _keyed() -> Iterator[Claim]:
    """Yield claims about tRNS, which names what is transparent instead of giving alpha."""
    for bits in (1, 2, 4, 8):
        top = 2**bits - 1
        rows = {1: b"\x0f", 2: b"\x00\xff", 4: b"\x00\x00\xff\xff", 8: b"\0\0\0\0\xff\xff\xff\xff"}[bits] * 8
        yield _keyed_claim(
            f"trns-grey-{bits}",
            f"a grey PNG of {bits} bits, black and white, in which white is transparent",
            partial(png, 8, 8, rows, bits=bits, kind=0, more=[(b"tRNS", struct.pack(">H", top))]),
            (0, 0, 0, 255),
        )
    deep = np.repeat(np.array([10000, 50000], dtype=">u2"), 4).tobytes() * 8
    yield _keyed_claim(
        "trns-grey-16",
        "a grey PNG of 16 bits in which one value is transparent",
        partial(png, 8, 8, deep, bits=16, kind=0, more=[(b"tRNS", struct.pack(">H", 50000))]),
        (39, 39, 39, 255),
    )
    yield claim(
        "trns-grey-16-elsewhere",
        "a grey PNG of 16 bits in which a value is transparent that it has not",
        partial(png, 8, 8, deep, bits=16, kind=0, more=[(b"tRNS", struct.pack(">H", 3))]),
        _PNG,
        "a value that is named as transparent makes nothing else transparent",
        "Pillow makes the whole picture transparent when it expands such pixels",
        checks.has((0.25, 0.5), (39, 39, 39, 255), 1),
        checks.has((0.75, 0.5), (195, 195, 195, 255), 1),
    )
    row = bytes((10, 120, 240)) * 4 + bytes((0, 255, 0)) * 4
    yield _keyed_claim(
        "trns-rgb-8",
        "an RGB PNG in which one colour is transparent",
        partial(png, 8, 8, row * 8, bits=8, kind=2, more=[(b"tRNS", struct.pack(">3H", 0, 255, 0))]),
        (10, 120, 240, 255),
    )
    wide = np.repeat(np.array([[2570, 30840, 61680], [0, 65535, 0]], dtype=">u2"), 4, axis=0).tobytes()
    yield _keyed_claim(
        "trns-rgb-16",
        "an RGB PNG of 16 bits in which one colour is transparent",
        partial(png, 8, 8, wide * 8, bits=16, kind=2, more=[(b"tRNS", struct.pack(">3H", 0, 65535, 0))]),
        (10, 120, 240, 255),
    )
    palette = bytes((10, 120, 240, 0, 255, 0, 200, 100, 50))
    indices = bytes((0, 0, 0, 0, 1, 1, 2, 2)) * 8
    make = partial(png, 8, 8, indices, bits=8, kind=3, more=[(b"PLTE", palette), (b"tRNS", bytes((255, 0, 128)))])
    yield claim(
        "trns-palette",
        "a PNG whose palette has an opaque, a transparent and a translucent entry",
        make,
        _PNG,
        "every entry of a palette has its own alpha",
        _TRNS,
        checks.has((0.25, 0.5), (10, 120, 240, 255), 0),
        checks.has((0.6, 0.5), (0, 0, 0, 0), 255),
        checks.has((0.9, 0.5), (200, 100, 50, 128), 1),
        alpha_is(np.frombuffer(bytes((255, 255, 255, 255, 0, 0, 128, 128)) * 8, dtype=np.uint8).reshape(8, 8), 0),
    )
    yield claim(
        "trns-palette-flattened",
        "a PNG whose palette has an opaque, a transparent and a translucent entry",
        make,
        {"fit": "none", "quality": 100, "background": "#000000"},
        "every entry of a palette is laid on the background by its own alpha",
        _TRNS,
        checks.has((0.6, 0.5), (0, 0, 0), 20),
        checks.has((0.9, 0.5), (100, 50, 25), 20),
    )
    key = np.zeros((64, 64, 3), dtype=np.uint8)
    key[:, :32], key[:, 32:] = (220, 30, 30), (0, 255, 0)
    yield claim(
        "trns-no-fringe",
        "an RGB PNG, red beside green, in which the green is transparent",
        partial(png, 64, 64, key.tobytes(), bits=8, kind=2, more=[(b"tRNS", struct.pack(">3H", 0, 255, 0))]),
        {"width": 13, "height": 13, "format": "png"},
        "the colour that stands for nothing does not bleed into edges",
        FRINGE,
        no_fringe(),
    )


def _keyed_claim(name: str, given: str, make: Callable[[], bytes], left: tuple[int, ...]) -> Claim:
    return claim(
        name,
        given,
        make,
        _PNG,
        "what tRNS names is transparent, and nothing else is",
        _TRNS,
        checks.has((0.25, 0.5), left, 1),
        alpha_is(np.repeat(np.array([[255, 0]], dtype=np.uint8), 4, axis=1).repeat(8, axis=0), 0),
    )


def _auto() -> Iterator[Claim]:
    auto = {"fit": "none", "format": "auto"}
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    hole = pictures.with_hole()
    opaque_palette = [(b"PLTE", bytes((10, 120, 240, 0, 255, 0))), (b"tRNS", bytes((255, 0)))]
    cases: dict[str, tuple[str, Callable[[], bytes], dict[str, Any], str]] = {
        "photo": ("a JPEG", partial(pictures.in_format, "JPEG"), auto, "JPEG"),
        "opaque-png": ("a PNG without alpha", partial(pictures.in_format, "PNG"), auto, "JPEG"),
        "opaque-rgba": (
            "a PNG whose alpha is opaque", partial(images.encoded, scene.convert("RGBA"), "PNG"), auto, "JPEG",
        ),
        "hole": ("a PNG with transparency", partial(images.encoded, hole, "PNG"), auto, "WEBP"),
        "hole-grey": ("grey with transparency", partial(images.encoded, hole.convert("LA"), "PNG"), auto, "WEBP"),
        "hole-gif": ("a GIF with transparency", hole_gif, auto, "WEBP"),
        "hole-heic": ("a HEIC with transparency", partial(images.heic, hole), auto, "WEBP"),
        "unused-entry": (
            "a PNG whose palette has a transparent entry that no pixel uses",
            partial(png, 8, 8, bytes(64), bits=8, kind=3, more=opaque_palette), auto, "JPEG",
        ),
        "lossless-opaque": (
            "a PNG without alpha", partial(pictures.in_format, "PNG"), auto | {"lossless": True}, "JPEG",
        ),
        "lossless-hole": (
            "a PNG with transparency", partial(images.encoded, hole, "PNG"), auto | {"lossless": True}, "PNG",
        ),
        "cropped": (
            "a PNG whose transparent right half is cut away", partial(images.encoded, hole, "PNG"),
            {"width": 10, "height": 20, "fit": "cover", "gravity": "west", "format": "auto"}, "JPEG",
        ),
    }  # fmt: skip
    sizes = {"hole-gif": (64, 64), "unused-entry": (8, 8), "cropped": (10, 20)}
    for name, (given, make, recipe, image_format) in cases.items():
        yield claim(
            f"auto-{name}",
            given,
            make,
            recipe,
            "auto takes JPEG unless there is something to see through",
            "core/preset.py: format",
            checks.is_a(image_format),
            checks.is_sized(*sizes.get(name, (pictures.WIDTH, pictures.HEIGHT))),
        )

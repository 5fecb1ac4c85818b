"""What it takes to encode a rendition, measured as ``costs`` says, of noise: its encoding takes the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rendition(NamedTuple):
    """Pixels of a rendition, and what of its preset makes it costly."""

    pixels: int
    format: str
    lossless: bool = False
    effort: int | None = None
    full_chroma: bool = False
    sharpened: bool = False


class Encoding(NamedTuple):
    """What a pixel of a rendition takes to encode: bytes and nanoseconds, without and with alpha, and in an animation.

    ``film`` is what is held for each pixel of all its frames.
    """

    opaque: float
    clear: float
    moving: float
    nanoseconds: int
    clear_nanoseconds: int
    moving_nanoseconds: int
    film: int


_AVIF: Final = Encoding(28.5, 39, 290, 800, 1200, 2300, 8)
_AVIF_SLOW: Final = Encoding(43, 54, 420, 800, 1200, 2300, 8)
_AVIF_FACTORS: Final = {4: 5.2, 5: 6.5, 6: 12, 7: 21, 8: 40, 9: 65}
_FULL_CHROMA: Final = 13
"""Bytes that a pixel of an AVIF takes more without smaller planes of colour, which take twice the time, too."""

_SHARPENING: Final = (2, 6)
"""Bytes that a sharpened pixel takes more, without and with alpha."""


def _times(encoding: Encoding, factor: float) -> Encoding:
    """Return an encoding of which each pixel takes so much longer."""
    return encoding._replace(
        nanoseconds=round(factor * encoding.nanoseconds),
        clear_nanoseconds=round(factor * encoding.clear_nanoseconds),
        moving_nanoseconds=round(factor * encoding.moving_nanoseconds),
    )


_ENCODINGS: Final[Mapping[str, Mapping[int, Encoding]]] = {
    "jpeg": {0: Encoding(7.5, 8.5, 0, 40, 50, 0, 0)},
    "png": {
        0: Encoding(9.5, 10.5, 20, 390, 500, 500, 12),
        7: Encoding(9.5, 10.5, 20, 620, 800, 800, 12),
        8: Encoding(9.5, 10.5, 20, 1200, 1500, 1500, 12),
    },
    "webp": {
        0: Encoding(10, 32, 36, 90, 170, 190, 8),
        4: Encoding(22, 32, 46, 150, 270, 400, 8),
        7: Encoding(22, 56, 66, 410, 500, 900, 8),
        9: Encoding(22, 56, 66, 410, 6700, 900, 8),
    },
    "lossless webp": {
        0: Encoding(38, 38, 64, 600, 600, 1200, 8),
        5: Encoding(38, 38, 64, 900, 900, 1800, 8),
        7: Encoding(43, 43, 70, 1600, 1600, 3000, 8),
    },
    "avif": {0: _AVIF} | {effort: _times(_AVIF_SLOW, factor) for effort, factor in _AVIF_FACTORS.items()},
}
"""By format, and from which effort on; times are those of noise, which takes the longest."""

_USUAL_EFFORT: Final = 3
"""Where a preset names none; PNG's is another, and no matter."""


def encoding_of(rendition: Rendition, *, clear: bool, animated: bool) -> Encoding:
    """Return what a rendition of an image, with or without alpha, takes for each pixel."""
    output = rendition.format
    if output == "auto":
        output = "jpeg" if not (clear or animated) else "png" if rendition.lossless else "webp"
    if output == "webp" and rendition.lossless:
        output = "lossless webp"
    effort = _USUAL_EFFORT if rendition.effort is None else rendition.effort
    levels = _ENCODINGS[output]
    found = levels[max(least for least in levels if least <= effort)]
    if output == "avif" and rendition.full_chroma:
        found = _times(found, 2)._replace(
            opaque=found.opaque + _FULL_CHROMA, clear=found.clear + _FULL_CHROMA, moving=found.moving + 4 * _FULL_CHROMA
        )
    if rendition.sharpened:
        found = found._replace(opaque=found.opaque + _SHARPENING[0], clear=found.clear + _SHARPENING[1])
    return found

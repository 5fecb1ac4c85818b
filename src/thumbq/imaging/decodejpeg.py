"""JPEGs to pixels: their decoder can leave out what no preset needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging import admission, colour, exif
from thumbq.imaging.decoded import Decoded
from thumbq.imaging.geometry import gaps, target, turned
from thumbq.imaging.opening import opened_jpeg
from thumbq.imaging.resize import PHOTO_REDUCING_GAP, REDUCING_GAP, Picture, reduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.header import Header
    from thumbq.ports.rendering import Shrinking

_SHRINK_MARGINS: Final = {8: 6.0, 4: 6.0, 2: 3.0}
"""A JPEG is decoded at no less than this times the targets; the Lanczos step does the rest. Screenshots need it."""

_PHOTO_MARGINS: Final = {8: 1.5, 4: 1.5, 2: 1.5}
"""The same for what a camera made."""

_WORDS: Final[Mapping[int, Shrinking]] = {2: "1/2", 4: "1/4", 8: "1/8"}
_MEANS: Final = 8
_DC_ONLY_GAP: Final = 16
"""With this many pixels for one of the target, the DC coefficients (an eighth of the size) are all that is needed."""


def decode_jpeg(original: Original, header: Header, presets: Sequence[Preset], limits: Limits) -> Decoded:
    """Load a JPEG, shrunk by its decoder as far as all presets allow. Raises as decode.decode does."""
    assert header.jpeg is not None
    image = opened_jpeg(original, header)
    turn = exif.orientation(image)
    upright_size = turned(image.size, turn)
    targets = tuple(target(upright_size, preset) for preset in presets)
    photo, spare = exif.is_photo(image), gaps(targets, turn)
    shrink = _shrink(spare, _PHOTO_MARGINS if photo else _SHRINK_MARGINS)
    admission.admit(
        header,
        scale=shrink,
        gap=min(map(min, spare)) / shrink,
        renditions=admission.renditions(targets, presets),
        animated=False,
        limits=limits,
    )
    icc_profile = colour.stated_profile(image, original)
    word: Shrinking | None = None
    if shrink > 1:
        word = _WORDS[shrink]
        if shrink == _MEANS and header.jpeg.dc_end is not None and min(map(min, spare)) >= _DC_ONLY_GAP:
            word = "1/8 dc-only"
            image = opened_jpeg(original, header, dc_only=True)
        # Pillow takes the largest shrinking that gives at least this size: the one that was chosen.
        image.draft(None, (image.width // shrink, image.height // shrink))
    image.load()
    shrunk = Picture(image, (1 / shrink, 1 / shrink), PHOTO_REDUCING_GAP if photo else REDUCING_GAP)
    picture = reduced(shrunk, [(across / shrink, down / shrink) for across, down in spare])
    return Decoded(image, picture, targets, upright_size, turn, icc_profile, word)


def _shrink(spare: Sequence[tuple[float, float]], margins: Mapping[int, float]) -> int:
    least = min(map(min, spare))
    return next((shrink for shrink, margin in margins.items() if shrink * margin <= least), 1)

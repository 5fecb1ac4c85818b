"""JPEGs to pixels: their decoder can leave out what no preset needs."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final

from PIL import ImageChops, ImageStat

from thumbq.errors import RenderRefused
from thumbq.imaging import admission, colour, exif
from thumbq.imaging.decoded import Decoded
from thumbq.imaging.geometry import gaps, target, turned
from thumbq.imaging.opening import opened_jpeg
from thumbq.imaging.resize import Manner, Picture, reduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.header import Header
    from thumbq.ports.rendering import Shrinking

_CAREFUL: Final[Mapping[int, float]] = {8: 4.5, 4: 4.5, 2: 3.0}
"""A JPEG is decoded at no less than this times the targets; the Lanczos step does the rest."""

_BOLD: Final[Mapping[int, float]] = {8: 4.5, 4: 1.5, 2: 1.5}
"""The same for pictures that turn out to be smooth: letters have edges at the limit of the resolution, lenses none."""

_ROUGH: Final[Mapping[int, float]] = {4: 8.0, 2: 12.0}
"""How much neighbours differ (root mean square) in what is rough, by the shrinking. At 1/8 letters are grey like stone.

Photos have 4 to 10, pages of text 17 and more; see tests/imaging/test_quality.py.
"""

_SMOOTH: Final = Manner(gap=2.0, step=2.0)
_EVEN: Final = Manner(gap=2.5)
"""For what even the careful way shrinks on load: libjpeg's own shrinking is better than averaging."""

_SAMPLED_BANDS: Final = 16
_BAND_ROWS: Final = 8

_WORDS: Final[Mapping[int, Shrinking]] = {2: "1/2", 4: "1/4", 8: "1/8"}
_MEANS: Final = 8
_DC_ONLY_GAP: Final = 16
"""With this many pixels for one of the target, the DC coefficients (an eighth of the size) are all that is needed."""


def decode_jpeg(original: Original, header: Header, presets: Sequence[Preset], limits: Limits) -> Decoded:
    """Load a JPEG, shrunk by its decoder as far as all presets allow. Raises as decode.decode does."""
    image = opened_jpeg(original, header)
    turn = exif.orientation(image)
    upright_size = turned(image.size, turn)
    targets = tuple(target(upright_size, preset) for preset in presets)
    spare = gaps(targets, turn)
    renditions = admission.renditions(targets, presets)

    def admit(shrink: int) -> None:
        gap = min(map(min, spare)) / shrink
        admission.admit(header, scale=shrink, gap=gap, renditions=renditions, animated=False, limits=limits)

    def is_admitted(shrink: int) -> bool:
        try:
            admit(shrink)
        except RenderRefused:
            return False
        return True

    shrink, careful = _shrink(spare, _BOLD), _shrink(spare, _CAREFUL)
    admit(shrink)
    icc_profile = colour.stated_profile(image, original)
    image, word = _loaded(image, original, header, shrink, spare)
    manner = _EVEN if shrink > 1 else Manner()
    if careful < shrink:
        manner = Manner() if _roughness(image) > _ROUGH[shrink] else _SMOOTH
    if careful < shrink and manner != _SMOOTH and is_admitted(careful):  # what is too large for that stays as it is
        image.close()  # two at once were not admitted
        shrink = careful
        image, word = _loaded(opened_jpeg(original, header), original, header, shrink, spare)
    shrunk = Picture(image, (1 / shrink, 1 / shrink), manner)
    picture = reduced(shrunk, [(across / shrink, down / shrink) for across, down in spare])
    return Decoded(image, picture, targets, upright_size, turn, icc_profile, word)


def _loaded(
    image: JpegImageFile, original: Original, header: Header, shrink: int, spare: Sequence[tuple[float, float]]
) -> tuple[JpegImageFile, Shrinking | None]:
    """Load an opened JPEG shrunk by its decoder, and say so in a manifest's word."""
    assert header.jpeg is not None
    word: Shrinking | None = None
    if shrink > 1:
        word = _WORDS[shrink]
        if shrink == _MEANS and header.jpeg.dc_end is not None and min(map(min, spare)) >= _DC_ONLY_GAP:
            word = "1/8 dc-only"
            image = opened_jpeg(original, header, dc_only=True)
        # Pillow takes the largest shrinking that gives at least this size: the one that was chosen.
        image.draft(None, (image.width // shrink, image.height // shrink))
    image.load()
    return image, word


def _roughness(image: Image.Image) -> float:
    """Return by how many levels neighbours differ (root mean square), across or down, in bands all over the picture."""
    width, height = image.size
    across = down = 0.0
    for band in range(_SAMPLED_BANDS):
        top = band * max(0, height - _BAND_ROWS) // (_SAMPLED_BANDS - 1)
        rows = image.crop((0, top, width, min(top + _BAND_ROWS, height))).convert("L")
        across += _step_square(rows, (1, 0))
        down += _step_square(rows, (0, 1))
    return sqrt(max(across, down) / _SAMPLED_BANDS)


def _step_square(rows: Image.Image, step: tuple[int, int]) -> float:
    width, height = rows.width - step[0], rows.height - step[1]
    if not width or not height:
        return 0.0
    here, there = rows.crop((0, 0, width, height)), rows.crop((*step, rows.width, rows.height))
    return float(ImageStat.Stat(ImageChops.difference(here, there)).rms[0]) ** 2


def _shrink(spare: Sequence[tuple[float, float]], margins: Mapping[int, float]) -> int:
    least = min(map(min, spare))
    return next((shrink for shrink, margin in margins.items() if shrink * margin <= least), 1)

"""JPEGs to pixels: their decoder can shrink them while they load."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops

from thumbq.imaging import exif
from thumbq.imaging.decoded import Decoded
from thumbq.imaging.formats.jpeg.colours import source_profile
from thumbq.imaging.formats.jpeg.stream import load, open_jpeg
from thumbq.imaging.geometry import reducing_gaps, target, turned
from thumbq.imaging.resize import Picture, ResamplingQuality, reduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.JpegImagePlugin import JpegImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.header import Header, JpegHeader
    from thumbq.ports.rendering import Shrinking

_CAREFUL: Final[Mapping[int, float]] = {8: 4.5, 4: 4.5, 2: 3.0}
"""A JPEG is decoded at no less than this times the targets; the Lanczos step does the rest."""

_BOLD: Final[Mapping[int, float]] = {8: 4.5, 4: 1.5, 2: 1.5}
"""The same for smooth pictures: letters have edges at the limit of the resolution, lenses draw none."""

_ROUGH: Final[Mapping[int, float]] = {4: 8.0, 2: 12.0}
"""The difference of neighbours (root mean square) above which a picture is rough. At 1/8 letters are grey like stone.

Photos have 4 to 10, pages of text 17 and more; see tests/imaging/test_quality.py.
"""

_SMOOTH: Final = ResamplingQuality(reducing_gap=2.0, mip_step=2.0)
_EVEN: Final = ResamplingQuality(reducing_gap=2.5)
"""For pictures that even the careful way shrinks on load: libjpeg's own shrinking is better than averaging."""

_LEAST_TO_TRY: Final = 1_000_000
"""With fewer pixels a look at the roughness, and a second decode of the rough, cost more than the smooth save."""

_SAMPLED_BANDS: Final = 16
_BAND_ROWS: Final = 8

_SHRINKINGS: Final[Mapping[int, Shrinking]] = {2: "1/2", 4: "1/4", 8: "1/8"}
_FROM_FIRST_SCANS: Final[Mapping[int, Shrinking]] = {2: "1/2 first-scans", 4: "1/4 first-scans", 8: "1/8 dc-only"}
_MEANS: Final = 8
_COARSE_GAP: Final = 16
"""With this many pixels for one of the target, blocks of 8 by 8 are details: their fine structure averages out.

At an eighth of the size their means suffice; else those and the lowest frequencies, at whatever precision they come
first. What they lack has no mean, and changes within half a pixel of the target.
"""

_MEANS_OFF: Final = 16
"""By how much the means may be off, as eight times the levels: their last bits may come in a later scan."""


def decode(original: Original, header: Header, presets: Sequence[Preset], budget: Budget) -> Decoded:
    """Load a JPEG, shrunk by its decoder as far as all presets allow. See ``inputformat.Decode``."""
    assert header.jpeg is not None
    image = open_jpeg(original, header.jpeg)
    orientation = exif.orientation(image)
    upright_size = turned(image.size, orientation)
    targets = tuple(target(upright_size, preset) for preset in presets)
    gaps = reducing_gaps(targets, orientation)
    careful = _shrink(gaps, _CAREFUL)
    shrink = _shrink(gaps, _BOLD) if _is_worth_a_try(header, header.jpeg) else careful
    budget.admit(targets, presets, scale=shrink)
    icc_profile = source_profile(image)
    image, shrinking = _loaded(image, original, header.jpeg, shrink, gaps)
    quality = _EVEN if shrink > 1 else ResamplingQuality()
    if careful < shrink:
        quality = ResamplingQuality() if _roughness(image) > _ROUGH[shrink] else _SMOOTH
    # A picture that is too large for the careful way stays as it is.
    if careful < shrink and quality != _SMOOTH and budget.allows(targets, presets, scale=careful):
        image.close()  # two at once were not admitted
        shrink = careful
        image, shrinking = _loaded(open_jpeg(original, header.jpeg), original, header.jpeg, shrink, gaps)
    shrunk = Picture(image, (1 / shrink, 1 / shrink), quality)
    picture = reduced(shrunk, [(across / shrink, down / shrink) for across, down in gaps])
    return Decoded(image, picture, targets, upright_size, orientation, icc_profile, shrinking)


def _is_worth_a_try(header: Header, coding: JpegHeader) -> bool:
    """Return whether shrinking further saves enough to be tried.

    The entropy decoding is nearly all that a progressive JPEG costs, at any scale; a second try has to do it again.
    """
    return coding.one_pass and header.width * header.height >= _LEAST_TO_TRY


def _loaded(
    image: JpegImageFile, original: Original, coding: JpegHeader, shrink: int, gaps: Sequence[tuple[float, float]]
) -> tuple[JpegImageFile, Shrinking | None]:
    """Load an opened JPEG shrunk by its decoder; return it with the manifest's name for the shrinking."""
    shrinking: Shrinking | None = None
    end = coding.end
    if shrink > 1:
        if min(map(min, gaps)) >= _COARSE_GAP:
            end = _first_scans(image, coding, shrink)
        shrinking = (_SHRINKINGS if end == coding.end else _FROM_FIRST_SCANS)[shrink]
        # Pillow takes the largest shrinking that gives at least this size: the one that was chosen.
        image.draft(None, (image.width // shrink, image.height // shrink))
    load(image, original, coding, end)
    return image, shrinking


def _first_scans(image: JpegImageFile, coding: JpegHeader, shrink: int) -> int:
    """Return where the scans end that suffice for small targets."""
    step = max((table[0] for table in image.quantization.values()), default=_MEANS_OFF + 1)
    return next(
        (
            stage.end
            for stage in coding.stages
            if (stage.has_low or shrink == _MEANS) and ((1 << stage.dc_bit) - 1) * step <= _MEANS_OFF
        ),
        coding.end,
    )


def _roughness(image: Image.Image) -> float:
    """Return by how many levels neighbours differ (root mean square), across or down, in bands all over the picture."""
    width, height = image.size
    rows = min(_BAND_ROWS, height)
    bands = Image.new(image.mode, (width, rows * _SAMPLED_BANDS))
    for band in range(_SAMPLED_BANDS):
        top = band * (height - rows) // (_SAMPLED_BANDS - 1)
        bands.paste(image.crop((0, top, width, top + rows)), (0, rows * band))
    grey = bands.convert("L")
    across = ImageChops.difference(grey.crop((0, 0, width - 1, grey.height)), grey.crop((1, 0, width, grey.height)))
    down = ImageChops.difference(grey.crop((0, 0, width, grey.height - 1)), grey.crop((0, 1, width, grey.height)))
    for seam in range(rows - 1, down.height, rows):  # the last row of a band and the first of the next
        down.paste(0, (0, seam, width, seam + 1))
    return sqrt(
        max(
            _square_sum(across) / max(1, (width - 1) * rows * _SAMPLED_BANDS),
            _square_sum(down) / max(1, width * (rows - 1) * _SAMPLED_BANDS),
        )
    )


def _square_sum(differences: Image.Image) -> int:
    return sum(count * level * level for level, count in enumerate(differences.histogram()))


def _shrink(gaps: Sequence[tuple[float, float]], margins: Mapping[int, float]) -> int:
    least = min(map(min, gaps))
    return next((shrink for shrink, margin in margins.items() if shrink * margin <= least), 1)

"""Pixels of four bytes for which Pillow has no mode: it opens them as four channels, and here they become grey.

That is grey of 32 bits without a sign, and grey with alpha of 16 bits each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops

from thumbq.imaging.formats.tiff import tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.formats.tiff.kinds import Kind

_ALL_ABOVE_ZERO: Final = [255 if level else 0 for level in range(256)]
_STRAIGHT: Final = {tags.ASSOCIATED: "La", tags.UNASSOCIATED: "LA"}


def grey(channels: Image.Image, kind: Kind, *, big_endian: bool) -> Image.Image:
    """Return the grey, with alpha where the kind has it, whose bytes these channels are."""
    bands = channels.split()[:: -1 if big_endian else 1]
    if kind.samples == 1:
        found = _of_32_bits(bands)
        return ImageChops.invert(found) if kind.photometric == tags.WHITE_IS_ZERO else found
    level, alpha = bands[1::2][:: -1 if big_endian else 1]
    mode = _STRAIGHT.get(kind.alpha)
    return level if mode is None else Image.merge(mode, [level, alpha]).convert("LA")


def _of_32_bits(bands: Sequence[Image.Image]) -> Image.Image:
    """Return grey: the largest value tells whether 255, 65535 or 2³² - 1 is white, and may be up to twice that.

    So it is with all numbers of no stated range (``colour.to_srgb``).
    """
    lowest, low, high, highest = bands
    above = [int(band.getextrema()[1]) for band in (low, high, highest)]  # type: ignore[arg-type]  # of L one pair
    if above[2] or above[1] > 1:
        return highest
    if above[1] or above[0] > 1:
        return ImageChops.lighter(low, high.point(_ALL_ABOVE_ZERO))
    return ImageChops.lighter(lowest, low.point(_ALL_ABOVE_ZERO))

"""TIFF, by its first page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from PIL import TiffImagePlugin

from thumbq.core.formats import ImageFormat
from thumbq.imaging import exif
from thumbq.imaging.colour import embedded_profile, pixelkinds
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.inputformat import USUAL_COSTS, InputFormat
from thumbq.imaging.formats.tiff.header import read
from thumbq.imaging.opening import Opened, loaded, open_known_kind, raw_mode, unsupported_kind

if TYPE_CHECKING:
    from PIL import ImageFile

    from thumbq.imaging import Original
    from thumbq.imaging.header import Header

_NOT_IN_LIBTIFF: Final = "webp"
"""The compression that Pillow has a name for and its libtiff no codec: that would fail as damaged pixels do."""


def _open(original: Original, _header: Header) -> Opened:
    image = open_known_kind(original, ImageFormat.TIFF)
    if image.info.get("compression") == _NOT_IN_LIBTIFF:
        raise unsupported_kind(ImageFormat.TIFF)
    _mark_kind(image)
    # Pillow turns it upright as it loads.
    return Opened(image, embedded_profile(image), partial(loaded, image), orientation=lambda _: 1)


def _mark_kind(image: ImageFile.ImageFile) -> None:
    """Mark 16-bit grey that has 12 bits, or whose 0 is white: Pillow's mode does not tell."""
    if image.tile and isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16"):
        image.info[pixelkinds.TWELVE_BITS] = raw_mode(image) == "I;12"
        photometric = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
        image.info[pixelkinds.INVERTED] = photometric == 0


INPUT: Final = InputFormat(read, partial(decode_whole, _open), USUAL_COSTS, exif_text=exif.text_of_tiff)

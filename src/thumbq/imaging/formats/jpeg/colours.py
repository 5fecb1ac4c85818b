"""The source profile of a JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import ExifTags

from thumbq.imaging.colour.matrixprofile import gamma_curve, matrix_profile
from thumbq.imaging.colour.sourceprofile import D65, embedded_profile

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

_ADOBE_RGB: Final = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_ADOBE_GAMMA: Final = 563 / 256


def source_profile(image: JpegImageFile) -> bytes | None:
    """Return the ICC profile that says what an opened JPEG's colours are; None: sRGB, or the file does not say.

    The profile; else Adobe RGB where EXIF says "R03", as cameras do (DCF 2.0, optional colour space).
    """
    profile = embedded_profile(image)
    if profile is not None:
        return profile
    return matrix_profile(_ADOBE_RGB, gamma_curve(_ADOBE_GAMMA)) if _is_adobe_rgb(image) else None


def _is_adobe_rgb(image: JpegImageFile) -> bool:
    if b"R03" not in image.info.get("exif", b""):
        return False
    try:
        exif = image.getexif()
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 -- Pillow's EXIF reader raises a dozen kinds; bad metadata must not cost the picture
        return False
    return index == "R03" and space != 1

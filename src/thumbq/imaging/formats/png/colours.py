"""The source profile of a PNG (W3C PNG, third edition, 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.colour.matrixprofile import SRGB_CURVE, gamma_curve, matrix_profile
from thumbq.imaging.colour.sourceprofile import BT709, code_point_profile, embedded_profile

if TYPE_CHECKING:
    from PIL import Image

_GAMMA_TOLERANCE: Final = 0.05
_CHROMATICITY_TOLERANCE: Final = 0.01
_SANE_GAMMAS: Final = (0.1, 10.0)


def source_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile that says what an opened PNG's colours are; None: sRGB, or the file does not say.

    The code points of ``cICP``; else the profile; else nothing where ``sRGB`` says so; else ``gAMA`` and ``cHRM``,
    unless they are those of sRGB within the tolerances of libpng.
    """
    info, profile = image.info, embedded_profile(image)
    code_points = info.get("cicp")
    if code_points is not None:
        return code_point_profile(code_points[0], code_points[1])
    gamma = info.get("gamma", 0.0)
    if profile is not None or "srgb" in info or not _SANE_GAMMAS[0] <= gamma <= _SANE_GAMMAS[1]:
        return profile
    chromaticities = info.get("chromaticity", BT709)
    usual_gamma = abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    usual_primaries = all(
        abs(one - other) <= _CHROMATICITY_TOLERANCE for one, other in zip(chromaticities, BT709, strict=True)
    )
    if usual_gamma and usual_primaries:
        return None
    return matrix_profile(
        BT709 if usual_primaries else chromaticities, SRGB_CURVE if usual_gamma else gamma_curve(1 / gamma)
    )

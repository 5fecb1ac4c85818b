"""The source profile: the ICC profile that says what a file's colours are.

A file has one, or says it in a way of its own, of which one is made. A format's ``source_profile`` knows its ways:

=============  ========================================================================================================
AVIF, HEIF     the profile; else the code points of the ``colr`` box (nclx)
PNG            the code points of ``cICP``; else the profile; else nothing where ``sRGB`` says so; else ``gAMA`` and
               ``cHRM``
JPEG           the profile; else Adobe RGB where EXIF says so
others         the profile
=============  ========================================================================================================

Of code points (ITU-T H.273) the curves of television count as that of sRGB, as in browsers. HDR is not tone-mapped: its
reference white (203 cd/m², ITU-R BT.2408) becomes white, and what is brighter is clipped.
"""

from __future__ import annotations

from functools import cache
from math import exp
from typing import TYPE_CHECKING, Final

from thumbq.imaging.colour.matrixprofile import SRGB_CURVE, gamma_curve, matrix_profile, sampled_curve

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging.colour.matrixprofile import Chromaticities

D65: Final = (0.3127, 0.3290)
BT709: Final = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)

_PRIMARIES: Final[dict[int, Chromaticities]] = {
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_GAMMAS: Final = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18

_REFERENCE_WHITE: Final = 203
_HLG_SYSTEM_GAMMA: Final = 1.2
_HLG_WHITE: Final = 0.75


def embedded_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile that is in the file of an opened image."""
    icc = image.info.get("icc_profile")
    return icc if isinstance(icc, bytes) and icc else None


def code_point_profile(primaries: int, transfer: int) -> bytes | None:
    """Return the profile of two code points (ITU-T H.273, tables 2 and 3); None for sRGB and for what is unknown."""
    if primaries not in _PRIMARIES and transfer not in {*_GAMMAS, _PQ, _HLG}:
        return None
    return matrix_profile(_PRIMARIES.get(primaries, BT709), _curve(transfer))


@cache
def _curve(transfer: int) -> bytes:
    if transfer == _PQ:
        return sampled_curve(_pq_light)
    if transfer == _HLG:
        return sampled_curve(_hlg_light)
    gamma = _GAMMAS.get(transfer)
    return SRGB_CURVE if gamma is None else gamma_curve(gamma)


def _pq_light(value: float) -> float:
    """Return light by SMPTE ST 2084, 1 being reference white."""
    root = value ** (4096 / (2523 * 128))
    ratio = max(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return float(ratio ** (16384 / 2610) * 10_000 / _REFERENCE_WHITE)


def _hlg_light(value: float) -> float:
    """Return light by ARIB STD-B67 on a display of 1000 cd/m², 1 being reference white (a signal of 75 %)."""
    return float((_hlg_scene(value) / _hlg_scene(_HLG_WHITE)) ** _HLG_SYSTEM_GAMMA)


def _hlg_scene(value: float) -> float:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return value**2 / 3 if value <= 1 / 2 else (exp((value - c) / a) + b) / 12

"""What a file says about its colours: by an ICC profile, or else in a way of its own, which is made into one.

=============  ========================================================================================================
AVIF, HEIF     the profile; else the code points of the ``colr`` box (nclx)
PNG            the code points of ``cICP``; else the profile; else nothing where ``sRGB`` says so; else ``gAMA`` and
               ``cHRM``, unless they are those of sRGB within the tolerances of libpng (W3C PNG, third edition, 4.3)
JPEG           the profile; else Adobe RGB where EXIF says "R03", as cameras do (DCF 2.0, optional colour space)
others         the profile
=============  ========================================================================================================

Of code points (ITU-T H.273) the curves of television count as that of sRGB, as in browsers. HDR is not tone-mapped: its
reference white (203 cd/m², ITU-R BT.2408) becomes white, and what is brighter is clipped.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import cache
from math import exp
from typing import TYPE_CHECKING, Final

from PIL import AvifImagePlugin, ExifTags, JpegImagePlugin, PngImagePlugin

from thumbq.errors import RenderRefused
from thumbq.imaging.colour import vetting
from thumbq.imaging.colour.matrixprofile import SRGB_CURVE, gamma_curve, matrix_profile, sampled_curve
from thumbq.imaging.header import isomedia, items

if TYPE_CHECKING:
    from PIL import Image

    from thumbq.imaging import Original
    from thumbq.imaging.colour.matrixprofile import Chromaticities

_D65: Final = (0.3127, 0.3290)
_BT709: Final = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE_RGB: Final = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_ADOBE_GAMMA: Final = 563 / 256

_PRIMARIES: Final[dict[int, Chromaticities]] = {
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_GAMMAS: Final = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18

_REFERENCE_WHITE: Final = 203
_HLG_SYSTEM_GAMMA: Final = 1.2
_HLG_WHITE: Final = 0.75

_GAMMA_TOLERANCE: Final = 0.05
_CHROMATICITY_TOLERANCE: Final = 0.01
_SANE_GAMMAS: Final = (0.1, 10.0)
_DEFLATED: Final = b"\0"


def stated_profile(image: Image.Image, original: Original) -> bytes | None:
    """Return the ICC profile that tells what an opened image's colours are; None: sRGB, or nothing is stated.

    ``original`` is the image's file. To be called before the image is loaded.
    """
    icc = image.info.get("icc_profile")
    profile = icc if isinstance(icc, bytes) and icc else None
    if isinstance(image, PngImagePlugin.PngImageFile):
        return _stated_in_png(image, profile)
    if profile is not None:
        return profile
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return matrix_profile(_ADOBE_RGB, gamma_curve(_ADOBE_GAMMA)) if _is_adobe_rgb(image) else None
    if isinstance(image, AvifImagePlugin.AvifImageFile):
        return _coded(*_avif_code_points(original))
    nclx = image.info.get("nclx_profile")
    if isinstance(nclx, dict):
        return _coded(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    return None


def _coded(primaries: int, transfer: int) -> bytes | None:
    """Return the profile of two code points (ITU-T H.273, tables 2 and 3); None for sRGB and for what is unknown."""
    if primaries not in _PRIMARIES and transfer not in {*_GAMMAS, _PQ, _HLG}:
        return None
    return matrix_profile(_PRIMARIES.get(primaries, _BT709), _curve(transfer))


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


def _avif_code_points(original: Original) -> tuple[int, int]:
    """Return primaries and transfer of an AVIF's primary image, 0 where they are not stated."""
    try:
        for meta in isomedia.boxes(original, 0, len(original)):
            if meta.kind != b"meta":
                continue
            found = items.read(original, meta)
            for box in found.properties.get(found.primary, []):
                if box.kind == b"colr" and original[box.at : box.at + 4] == b"nclx":
                    return isomedia.number(original, box.at + 4, 2), isomedia.number(original, box.at + 6, 2)
    except RenderRefused:
        pass  # What libavif can read has some colours.
    return 0, 0


def _is_adobe_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
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


def _stated_in_png(image: PngImagePlugin.PngImageFile, profile: bytes | None) -> bytes | None:
    info = image.info
    code_points = info.get("cicp")
    if code_points is not None:
        return _coded(code_points[0], code_points[1])
    gamma = info.get("gamma", 0.0)
    if profile is not None or "srgb" in info or not _SANE_GAMMAS[0] <= gamma <= _SANE_GAMMAS[1]:
        return profile
    chromaticities = info.get("chromaticity", _BT709)
    usual_gamma = abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    usual_primaries = all(
        abs(one - other) <= _CHROMATICITY_TOLERANCE for one, other in zip(chromaticities, _BT709, strict=True)
    )
    if usual_gamma and usual_primaries:
        return None
    return matrix_profile(
        _BT709 if usual_primaries else chromaticities, SRGB_CURVE if usual_gamma else gamma_curve(1 / gamma)
    )


def _read_iccp(stream: PngImagePlugin.PngStream, _position: int, length: int) -> bytes:
    """Read a PNG's profile. Pillow's own method gives up the picture for a profile that is large or packed oddly."""
    body = _chunk(stream, length)
    packed = body.partition(b"\0")[2]
    unpacked = b""
    if packed[:1] == _DEFLATED:
        with suppress(zlib.error):
            unpacked = zlib.decompressobj().decompress(packed[1:], vetting.MAX_BYTES + 1)
    stream.im_info["icc_profile"] = unpacked
    return body


def _read_cicp(stream: PngImagePlugin.PngStream, _position: int, length: int) -> bytes:
    """Read a PNG's code points, which Pillow knows nothing of."""
    body = _chunk(stream, length)
    if len(body) == 4:  # noqa: PLR2004 -- primaries, transfer, matrix, range
        stream.im_info["cicp"] = tuple(body)
    return body


def _chunk(stream: PngImagePlugin.PngStream, length: int) -> bytes:
    assert stream.fp is not None
    body = stream.fp.read(length)
    if len(body) < length:
        raise OSError("truncated PNG chunk")
    return body


PngImagePlugin.PngStream.chunk_iCCP = _read_iccp  # type: ignore[assignment]
PngImagePlugin.PngStream.chunk_cICP = _read_cicp  # type: ignore[attr-defined]

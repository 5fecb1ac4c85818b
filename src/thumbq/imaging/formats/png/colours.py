"""The source profile of a PNG (W3C PNG, third edition, 4.3)."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from thumbq.imaging.colour.matrixprofile import SRGB_CURVE, gamma_curve, matrix_profile
from thumbq.imaging.colour.sanitising import MAX_BYTES
from thumbq.imaging.colour.sourceprofile import BT709, code_point_profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.imaging import Original
    from thumbq.imaging.colour.matrixprofile import Chromaticities

_UNIT: Final = 100_000
_CHROMATICITIES: Final = struct.Struct(">8I")
_GAMMA_TOLERANCE: Final = 0.05
_CHROMATICITY_TOLERANCE: Final = 0.01
_SANE_GAMMAS: Final = (0.1, 10.0)
_INTENTS: Final = 4
_DEFLATED: Final = b"\0"


def source_profile(original: Original, told: Mapping[bytes, tuple[int, int]]) -> bytes | None:
    """Return the ICC profile that says what a PNG's colours are; None: sRGB, or the file does not say.

    The code points of ``cICP``; else the profile; else nothing where ``sRGB`` says so; else ``gAMA`` and ``cHRM``,
    unless they are those of sRGB within the tolerances of libpng. What makes no sense counts as not there.
    """
    said = {kind: original[start:end] for kind, (start, end) in told.items() if kind != b"eXIf"}
    if b"cICP" in said:
        primaries, transfer, matrix, full_range = said[b"cICP"]
        if matrix == 0 and full_range <= 1:
            return code_point_profile(primaries, transfer)
    profile = _embedded(said.get(b"iCCP", b""))
    if profile or said.get(b"sRGB", b"\xff")[0] < _INTENTS:
        return profile or None
    gamma = int.from_bytes(said.get(b"gAMA", b""), "big") / _UNIT
    if not _SANE_GAMMAS[0] <= gamma <= _SANE_GAMMAS[1]:
        return None
    chromaticities = _chromaticities(said.get(b"cHRM"))
    usual_gamma = abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    usual_primaries = all(
        abs(one - other) <= _CHROMATICITY_TOLERANCE for one, other in zip(chromaticities, BT709, strict=True)
    )
    if usual_gamma and usual_primaries:
        return None
    return matrix_profile(
        BT709 if usual_primaries else chromaticities, SRGB_CURVE if usual_gamma else gamma_curve(1 / gamma)
    )


def _embedded(body: bytes) -> bytes:
    """Return the profile of an iCCP chunk, or what there is of it; empty where it is packed in another way."""
    packed = body.partition(b"\0")[2]
    if packed[:1] == _DEFLATED:
        with suppress(zlib.error):
            return zlib.decompressobj().decompress(packed[1:], MAX_BYTES + 1)
    return b""


def _chromaticities(body: bytes | None) -> Chromaticities:
    if body is None:
        return BT709
    found = cast("Chromaticities", tuple(value / _UNIT for value in _CHROMATICITIES.unpack(body)))
    makes_sense = all(x + y <= 1 for x, y in zip(found[::2], found[1::2], strict=True))
    return found if makes_sense else BT709

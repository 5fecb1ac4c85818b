"""ICC profiles, built from their numbers (ICC.1:2022), and what they must come to in sRGB, by numpy alone."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Colour = tuple[int, int, int]
    Inks = tuple[int, int, int, int]

D50: Final = (0.9642, 1.0, 0.8249)

# Columns are the primaries, adapted to D50 as profiles hold them.
SRGB: Final = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3: Final = np.array(
    [[0.515102, 0.291965, 0.157153], [0.241182, 0.692236, 0.066581], [-0.00105, 0.041882, 0.784378]]
)
ADOBE_RGB: Final = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
ADOBE_GAMMA: Final = 563 / 256

# The matrix and the bias of XYB (ISO/IEC 18181-1, L.2): linear sRGB to the three cones of JPEG XL.
_CONES: Final = np.array(
    [[0.3, 0.622, 0.078], [0.23, 0.692, 0.078], [0.24342268924547819, 0.20476744424496821, 0.5518098665095536]]
)
_BIAS: Final = 0.0037930732552754493
_XYB_LOW: Final = np.array([-0.015386134, 0.0, -0.27770459])
_XYB_SPAN: Final = 1 / np.array([22.995788804, 1.183000077, 1.502141333])


def icc_file(
    tags: Mapping[bytes, bytes],
    *,
    space: bytes = b"RGB ",
    pcs: bytes = b"XYZ ",
    kind: bytes = b"mntr",
    version: int = 0x02400000,
    name: bytes = b"test",
) -> bytes:
    """Put a profile together from its tags' bodies."""
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    if version >= 0x04000000:
        text = name.decode().encode("utf-16-be")
        desc = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    every = {b"desc": desc, b"wtpt": xyz(D50), **tags}
    at, table, data = 132 + 12 * len(every), b"", b""
    for signature, body in every.items():
        table += struct.pack(">4sII", signature, at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x3i", at + len(data), b"none", version, kind, space, pcs, b"acsp", *_fixed(D50)
    )
    return header.ljust(128, b"\0") + struct.pack(">I", len(every)) + table + data


def xyz(values: Sequence[float]) -> bytes:
    """Return a tag of three numbers."""
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *_fixed(values))


def _fixed(values: Sequence[float]) -> list[int]:
    return [round(value * 65536) for value in values]


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def rgb_profile(primaries: Floats, gamma: float, name: bytes = b"test") -> bytes:
    """Return a display's profile: three primaries and one gamma."""
    colours = {b"rXYZ": primaries[:, 0], b"gXYZ": primaries[:, 1], b"bXYZ": primaries[:, 2]}
    tags = {tag: xyz([float(value) for value in column]) for tag, column in colours.items()}
    return icc_file(tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma)), name=name)


def grey_profile(gamma: float) -> bytes:
    """Return the profile of a grey scale with one gamma."""
    return icc_file({b"kTRC": _gamma(gamma)}, space=b"GRAY")


def in_srgb(colour: Sequence[int], primaries: Floats, curve: float | Callable[[Floats], Floats]) -> Colour:
    """Return 8-bit RGB of a matrix profile as 8-bit sRGB; what lies outside is clipped."""
    device = np.asarray(colour, dtype=float) / 255
    light = device**curve if isinstance(curve, float) else curve(device)
    return srgb_of(np.linalg.inv(SRGB) @ primaries @ light)


def srgb_to_light(value: Floats) -> Floats:
    """Decode sRGB values, 0 to 1 (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_of(light: Floats) -> Colour:
    """Encode linear RGB in the primaries of sRGB as 8-bit sRGB; what lies outside is clipped."""
    value = np.clip(light, 0, 1)
    red, green, blue = np.rint(255 * np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055))
    return int(red), int(green), int(blue)


def cmyk_profile(press: Callable[[Inks], Colour]) -> bytes:
    """Return a printer's profile that has a table (lut16Type) of 16 corners: which sRGB colour each mix of inks is."""
    corners = [(c, m, y, k) for c in (0, 255) for m in (0, 255) for y in (0, 255) for k in (0, 255)]
    table = [value for inks in corners for value in _lab16(press(inks))]
    straight = [0, 0xFFFF]
    body = b"mft2\0\0\0\0" + struct.pack(">BBBx9i", 4, 3, 2, *_fixed(np.eye(3).ravel().tolist()))
    body += struct.pack(">HH", 2, 2) + struct.pack(f">{8 + len(table) + 6}H", *(straight * 4), *table, *(straight * 3))
    return icc_file({b"A2B0": body}, space=b"CMYK", pcs=b"Lab ", kind=b"prtr")


def _lab16(colour: Colour) -> tuple[int, int, int]:
    """Return sRGB as CIELAB in the 16 bits of a version 2 profile."""
    ratio = SRGB @ srgb_to_light(np.asarray(colour) / 255) / np.array(D50)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    light, a, b = 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])
    return round(light / 100 * 0xFF00), round((a + 128) * 256), round((b + 128) * 256)


def to_xyb(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return sRGB pixels as JPEGs of jpegli's ``--xyb`` hold them: X, Y and B - Y, scaled to 8 bits."""
    cones: Floats = np.cbrt(srgb_to_light(colours / 255) @ _CONES.T + _BIAS) - np.cbrt(_BIAS)
    x, y, b = (cones[..., 0] - cones[..., 1]) / 2, (cones[..., 0] + cones[..., 1]) / 2, cones[..., 2]
    scaled: Floats = (np.stack([x, y, b - y], axis=-1) - _XYB_LOW) / _XYB_SPAN
    return np.clip(np.rint(255 * scaled), 0, 255).astype(np.uint8)


def from_xyb(pixel: Sequence[int]) -> Colour:
    """Return the sRGB colour of such a pixel."""
    x, y, b = _XYB_LOW + _XYB_SPAN * np.asarray(pixel) / 255
    cones = (np.array([y + x, y - x, b + y]) + np.cbrt(_BIAS)) ** 3 - _BIAS
    return srgb_of(np.linalg.inv(_CONES) @ cones)


def xyb_profile() -> bytes:
    """Return the profile of such pixels: a cube, three cubic curves and a matrix (lutAToBType)."""
    corners = np.array([[x, y, b] for x in (0, 1) for y in (0, 1) for b in (0, 1)])
    x, y, b = (_XYB_LOW + _XYB_SPAN * corners).T
    cones = np.stack([y + x, y - x, b + y], axis=-1)
    low, high = cones.min(), cones.max()
    cube = np.rint(65535 * (cones - low) / (high - low)).astype(int).ravel().tolist()
    # Curves give (cone + root)**3, which is at most 1.2: half of it, so that nothing is clipped between the steps.
    scale, root = 0.5 ** (1 / 3), float(np.cbrt(_BIAS))
    curve = b"para\0\0\0\0" + struct.pack(
        ">HHiiiii", 3, 0, *_fixed([3, scale * (high - low), scale * (low + root), 0, 0])
    )
    to_xyz = SRGB @ np.linalg.inv(_CONES)
    matrix = (2 * to_xyz).ravel().tolist() + (to_xyz @ np.full(3, -_BIAS)).tolist()
    line = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, 65536)
    at_cube, at_curves = 32 + 3 * len(line), 32 + 3 * len(line) + 20 + 2 * len(cube)
    at_matrix = at_curves + 3 * len(curve)
    body = b"mAB \0\0\0\0" + struct.pack(">BBxx5I", 3, 3, 32, at_matrix, at_curves, at_cube, 32) + 3 * line
    body += bytes([2, 2, 2]).ljust(16, b"\0") + struct.pack(f">Bxxx{len(cube)}H", 2, *cube) + 3 * curve
    body += struct.pack(">12i", *_fixed([value * 32768 / 65535 for value in matrix]))
    return icc_file({b"A2B0": body}, version=0x04400000, name=b"XYB")

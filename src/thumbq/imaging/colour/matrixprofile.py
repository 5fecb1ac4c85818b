"""ICC profiles made from primaries and a curve, for images that state these without a profile."""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Vector = tuple[float, float, float]
    Matrix = tuple[Vector, Vector, Vector]
    Chromaticities = tuple[float, float, float, float, float, float, float, float]
    """x and y of white, red, green and blue."""

_D50: Final = (0.9642, 1.0, 0.8249)

_BRADFORD: Final = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""ICC.1:2022, annex E: from one white to another."""

SRGB_CURVE: Final = b"para\0\0\0\0" + struct.pack(
    ">HH5i", 3, 0, *(round(value * 65536) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


def gamma_curve(exponent: float) -> bytes:
    """Return the ``TRC`` tag of a power function."""
    return b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(exponent * 65536))


def sampled_curve(light: Callable[[float], float]) -> bytes:
    """Return the ``TRC`` tag of any function from 0…1 to light; what it gives over 1 is clipped."""
    samples = [round(65535 * min(1.0, max(0.0, light(level / 255)))) for level in range(256)]
    return b"curv\0\0\0\0" + struct.pack(">I256H", 256, *samples)


@lru_cache(maxsize=16)
def matrix_profile(chromaticities: Chromaticities, *curves: bytes) -> bytes | None:
    """Return an RGB display profile with one curve or three, None if the primaries make no sense."""
    try:
        columns = _adapted_primaries(chromaticities)
        tags = {
            name: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in column))
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"), (*columns, _D50), strict=True)
        }
    except (ZeroDivisionError, OverflowError, struct.error):
        return None
    tags |= dict(zip((b"rTRC", b"gTRC", b"bTRC"), cycle(curves), strict=False))
    at = 132 + 12 * len(tags)
    table, data = b"", b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, at + len(data), len(body))
        data += body
    size = at + len(data)
    illuminant = (round(value * 65536) for value in _D50)
    header = struct.pack(">I4xI4s4s4s12x4s28x3i", size, 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp", *illuminant)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _adapted_primaries(chromaticities: Chromaticities) -> Matrix:
    """Return XYZ of red, green and blue at full strength, for a white of D50."""
    white, *primaries = (_xyz(*chromaticities[at : at + 2]) for at in range(0, 8, 2))
    red, green, blue = primaries
    strengths = _times(_inverse(_transposed((red, green, blue))), white)
    ratios = [to / given for to, given in zip(_times(_BRADFORD, _D50), _times(_BRADFORD, white), strict=True)]
    adapted = []
    for strength, primary in zip(strengths, primaries, strict=True):
        cones = _times(_BRADFORD, primary)
        scaled = (cones[0] * ratios[0], cones[1] * ratios[1], cones[2] * ratios[2])
        x, y, z = _times(_inverse(_BRADFORD), scaled)
        adapted.append((strength * x, strength * y, strength * z))
    return adapted[0], adapted[1], adapted[2]


def _xyz(x: float, y: float) -> Vector:
    return x / y, 1.0, (1 - x - y) / y


def _times(matrix: Matrix, vector: Vector) -> Vector:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _transposed(matrix: Matrix) -> Matrix:
    first, second, third = zip(*matrix, strict=True)
    return first, second, third


def _inverse(matrix: Matrix) -> Matrix:
    first, second, third = matrix
    crosses = _cross(second, third), _cross(third, first), _cross(first, second)
    determinant = sum(a * b for a, b in zip(first, crosses[0], strict=True))
    x, y, z = _transposed(crosses)
    return (
        (x[0] / determinant, x[1] / determinant, x[2] / determinant),
        (y[0] / determinant, y[1] / determinant, y[2] / determinant),
        (z[0] / determinant, z[1] / determinant, z[2] / determinant),
    )


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]

"""How alike two pictures are: PSNR, and SSIM as its authors define it (Wang, Bovik, Sheikh and Simoncelli 2004)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_TAPS: Final = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
_WINDOW: Final = (_TAPS / _TAPS.sum()).astype(np.float32)
_C1: Final = (0.01 * 255) ** 2
_C2: Final = (0.03 * 255) ** 2


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio over all channels, in dB."""
    error = np.mean((np.asarray(one, dtype=np.float32) - np.asarray(other, dtype=np.float32)) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the mean structural similarity of two pictures' luma."""
    a, b = (np.asarray(picture.convert("L"), dtype=np.float32) for picture in (one, other))
    mean_a, mean_b = _smooth(a), _smooth(b)
    spread_a, spread_b = _smooth(a * a) - mean_a**2, _smooth(b * b) - mean_b**2
    shared = _smooth(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + _C1) * (2 * shared + _C2)
    below = (mean_a**2 + mean_b**2 + _C1) * (spread_a + spread_b + _C2)
    return float(np.mean(above / below))


def _smooth(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (length - len(_WINDOW) + 1 for length in plane.shape)
    down = _WINDOW[0] * plane[:rows]
    for at, weight in enumerate(_WINDOW[1:], start=1):
        down += weight * plane[at : at + rows]
    smooth: NDArray[np.float32] = _WINDOW[0] * down[:, :columns]
    for at, weight in enumerate(_WINDOW[1:], start=1):
        smooth += weight * down[:, at : at + columns]
    return smooth

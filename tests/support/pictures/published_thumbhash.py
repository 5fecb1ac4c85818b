"""ThumbHash as it is published (https://evanw.github.io/thumbhash/), slowly and in numpy: what ours is held to."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]


def encoded(rgba: NDArray[np.uint8]) -> bytes:
    """Return the hash of a picture of height by width by 4."""
    height, width = rgba.shape[:2]
    alpha = rgba[..., 3] / 255
    colours = rgba[..., :3] / 255
    mean = (colours * alpha[..., None]).sum((0, 1)) / max(alpha.sum(), 1e-9)
    red, green, blue = np.moveaxis(mean * (1 - alpha[..., None]) + colours * alpha[..., None], -1, 0)
    has_alpha = bool((alpha < 1).any())
    most = 5 if has_alpha else 7
    across = max(1, floor(most * width / max(width, height) + 0.5))
    down = max(1, floor(most * height / max(width, height) + 0.5))
    planes = [(red + green + blue) / 3, (red + green) / 2 - blue, red - green, alpha]
    waves = [(max(3, across), max(3, down)), (3, 3), (3, 3), (5, 5)]
    (l_mean, l_scale, light), (p_mean, p_scale, p), (q_mean, q_scale, q), (a_mean, a_scale, a) = (
        _transformed(plane, *count) for plane, count in zip(planes, waves, strict=True)
    )
    landscape = width > height
    header: int = _round(63 * l_mean) | _round(31.5 + 31.5 * p_mean) << 6 | _round(31.5 + 31.5 * q_mean) << 12
    header |= _round(31 * l_scale) << 18 | has_alpha << 23
    header |= ((down if landscape else across) | _round(63 * p_scale) << 3 | _round(63 * q_scale) << 9) << 24
    header |= landscape << 39
    nibbles = [*light, *p, *q, *(a if has_alpha else [])]
    if has_alpha:
        nibbles = [_round(15 * a_mean), _round(15 * a_scale), *nibbles]
    nibbles += [0] * (len(nibbles) % 2)
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    return header.to_bytes(5, "little") + bytes(low | high << 4 for low, high in pairs)


def decoded(thumbhash: bytes) -> Plane:
    """Return the picture that pages draw of a hash: height by width (32 at most) by 4, from 0 to 255."""
    header = int.from_bytes(thumbhash[:5], "little")
    has_alpha, landscape = header >> 23 & 1, header >> 39
    longer, shorter = (5 if has_alpha else 7), header >> 24 & 7
    across, down = (longer, shorter) if landscape else (shorter, longer)
    ratio = across / down
    size = (_round(32 / ratio), 32) if ratio > 1 else (32, _round(32 * ratio))
    nibbles = [byte >> shift & 15 for byte in thumbhash[5:] for shift in (0, 4)]
    alpha_mean, alpha_scale = (nibbles.pop(0) / 15, nibbles.pop(0) / 15) if has_alpha else (1, 0)
    levels = iter(nibbles)
    light = _drawn(size, (header & 63) / 63, (header >> 18 & 31) / 31, (max(3, across), max(3, down)), levels)
    p = _drawn(size, (header >> 6 & 63) / 31.5 - 1, 1.25 * (header >> 27 & 63) / 63, (3, 3), levels)
    q = _drawn(size, (header >> 12 & 63) / 31.5 - 1, 1.25 * (header >> 33 & 63) / 63, (3, 3), levels)
    alpha = _drawn(size, alpha_mean, alpha_scale, (5, 5), levels) if has_alpha else np.ones(size)
    blue = light - 2 / 3 * p
    red = (3 * light - blue + q) / 2
    return np.clip(np.stack([red, red - q, blue, alpha], axis=-1), 0, 1) * 255


def _transformed(plane: Plane, across: int, down: int) -> tuple[float, float, list[int]]:
    mean, *others = (float((plane * wave).mean()) for wave in _waves(plane.shape, across, down))
    scale = max(map(abs, others))
    if scale < 1e-9:
        return mean, scale, [0] * len(others)
    return mean, scale, [_round(15 * (0.5 + 0.5 / scale * value)) for value in others]


def _drawn(size: tuple[int, ...], mean: float, scale: float, count: tuple[int, int], levels: Iterator[int]) -> Plane:
    drawn = np.full(size, mean)
    for wave in list(_waves(size, *count))[1:]:
        drawn += (next(levels) / 7.5 - 1) * scale * 2 * wave
    return drawn


def _waves(size: tuple[int, ...], across: int, down: int) -> Iterator[Plane]:
    height, width = size
    for y in range(down):
        for x in range(across):
            if x * down < across * (down - y):
                rows = np.cos(np.pi / height * y * (np.arange(height) + 0.5))
                columns = np.cos(np.pi / width * x * (np.arange(width) + 0.5))
                yield rows[:, None] * columns[None, :]


def _round(value: float) -> int:
    return floor(value + 0.5)

"""Sizes and crops: a preset's part of an upright picture, and its place in the stored pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset

Size = tuple[int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_OPEN_SIDE: Final = 65_500
_AUTO_MAX_SIDE: Final = min(output.max_side for output in OUTPUTS.values())
_FIRST_TURNED: Final = 5
_GRAVITY: Final = {
    "center": (0.5, 0.5),
    "north": (0.5, 0.0),
    "northeast": (1.0, 0.0),
    "east": (1.0, 0.5),
    "southeast": (1.0, 1.0),
    "south": (0.5, 1.0),
    "southwest": (0.0, 1.0),
    "west": (0.0, 0.5),
    "northwest": (0.0, 0.0),
}
"""The shares of the space outside a crop that are left of it and above it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A rendition's size, and the part of the upright picture that it shows."""

    size: Size
    crop: Box


def turned(size: Size, orientation: int) -> Size:
    """Swap the sides if this EXIF orientation does: stored size to upright size, and back."""
    return (size[1], size[0]) if orientation >= _FIRST_TURNED else size


def contained(upright: Size, box: Size) -> Target:
    """Return the whole of a picture inside a box, with its proportions, never enlarged."""
    return Target(_contained(upright, box, enlarge=False), _whole(upright))


def target(upright: Size, preset: Preset) -> Target:
    """Return a preset's target for a picture of this upright size: at least 1 pixel a side."""
    longest = OUTPUTS[preset.format].max_side if preset.format in OUTPUTS else _AUTO_MAX_SIDE
    if preset.fit == "fill":
        assert preset.width is not None
        assert preset.height is not None
        return Target((preset.width, preset.height), _whole(upright))
    if preset.fit == "cover":
        assert preset.width is not None
        assert preset.height is not None
        return _covering(upright, (preset.width, preset.height), preset)
    if preset.fit == "none":
        return Target(_contained(upright, (longest, longest), enlarge=False), _whole(upright))
    open_side = min(longest, _OPEN_SIDE)
    box = preset.width or open_side, preset.height or open_side
    return Target(_contained(upright, box, enlarge=preset.enlarge), _whole(upright))


def _whole(upright: Size) -> Box:
    return 0.0, 0.0, float(upright[0]), float(upright[1])


def _contained(upright: Size, box: Size, *, enlarge: bool) -> Size:
    scale = min(box[0] / upright[0], box[1] / upright[1])
    if scale >= 1 and not enlarge:
        return upright
    return _side(upright[0] * scale, box[0]), _side(upright[1] * scale, box[1])


def _covering(upright: Size, box: Size, preset: Preset) -> Target:
    """Fill the box; where that would enlarge and may not, fill the largest box of its proportions."""
    scale = max(box[0] / upright[0], box[1] / upright[1])
    if scale > 1 and not preset.enlarge:
        box = (_side(box[0] / scale, upright[0]), _side(box[1] / scale, upright[1]))
        scale = 1.0
    width, height = min(box[0] / scale, upright[0]), min(box[1] / scale, upright[1])
    left, top = _corner(upright, (width, height), preset)
    return Target(box, (left, top, left + width, top + height))


def _corner(upright: Size, kept: tuple[float, float], preset: Preset) -> tuple[float, float]:
    free = upright[0] - kept[0], upright[1] - kept[1]
    if preset.focal_point is not None:
        wanted = (
            share * side - length / 2 for share, side, length in zip(preset.focal_point, upright, kept, strict=True)
        )
        left, top = (min(max(0.0, at), most) for at, most in zip(wanted, free, strict=True))
        return left, top
    across, down = _GRAVITY[preset.gravity]
    return free[0] * across, free[1] * down


def stored_box(crop: Box, upright: Size, orientation: int) -> Box:
    """Return where a part of an upright picture lies in its stored pixels (EXIF 3.0, tag 274)."""
    left, top, right, bottom = crop
    width, height = upright
    if orientation in {2, 3, 6, 7}:  # columns of the upright picture run backwards in storage
        left, right = width - right, width - left
    if orientation in {3, 4, 7, 8}:  # and rows
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation >= _FIRST_TURNED else (left, top, right, bottom)


def reducing_gaps(targets: Sequence[Target], orientation: int) -> list[tuple[float, float]]:
    """Return how many stored pixels go into one of each target, across and down."""
    upright = (
        ((right - left) / width, (bottom - top) / height)
        for (width, height), (left, top, right, bottom) in ((one.size, one.crop) for one in targets)
    )
    return [gap[::-1] if orientation >= _FIRST_TURNED else gap for gap in upright]


def _side(length: float, limit: int) -> int:
    return min(limit, max(1, round(length)))

"""Checks of an output's pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conformance.claims import Check
from support.pictures import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from conformance.output import Output

Colour = tuple[int, ...]


def is_sized(width: int, height: int) -> Check:
    def fault(output: Output) -> str | None:
        return None if output.size == (width, height) else f"it is {output.size[0]} by {output.size[1]} pixels"

    return Check(f"its size is {width} by {height}", fault)


def is_a(image_format: str) -> Check:
    """Tell by what the file is, not by its name: JPEG, PNG, WEBP or AVIF."""

    def fault(output: Output) -> str | None:
        return None if output.format == image_format else f"it is a {output.format}"

    return Check(f"it opens as {image_format}", fault)


def is_upright() -> Check:
    """Look for the four corners of ``images.scene``."""
    right_way = list(images.CORNERS)

    def fault(output: Output) -> str | None:
        rgb = output.rgb
        bottom, right = rgb.shape[0] - 3, rgb.shape[1] - 3
        seen = [rgb[y, x] for y, x in ((2, 2), (2, right), (bottom, 2), (bottom, right))]
        names = [_nearest(colour) for colour in seen]
        if names == right_way:
            return None
        return "its corners (top left and right, bottom left and right) are: " + ", ".join(names)

    return Check("each corner has the colour that it has in the upright picture", fault)


def _nearest(colour: NDArray[np.int16]) -> str:
    distances = {name: int(np.abs(colour - np.array(known)).max()) for name, known in images.CORNERS.items()}
    name = min(distances, key=distances.__getitem__)
    return name if distances[name] < 60 else f"none of them, {tuple(colour.tolist())}"


def has(at: tuple[float, float], colour: Colour, within: int = 3) -> Check:
    """Look at one pixel: a place in shares of width and height, RGB or RGBA."""

    def fault(output: Output) -> str | None:
        x, y = int(at[0] * output.size[0]), int(at[1] * output.size[1])
        found = output.rgba[y, x, : len(colour)]
        if np.abs(found - np.array(colour)).max() <= within:
            return None
        return f"at {x}, {y} there is {tuple(found.tolist())} and not {colour}"

    return Check(f"at {at[0]:.0%} and {at[1]:.0%} there is {colour}, give or take {within}", fault)


def shows(colours: Sequence[Colour], within: int = 3) -> Check:
    """Look at the middle of each of the squares of a ``pictures.patches``."""
    centres = [((number + 0.5) / len(colours), 0.5) for number in range(len(colours))]
    ways = [has(at, colour, within) for at, colour in zip(centres, colours, strict=True)]

    def fault(output: Output) -> str | None:
        return "; ".join(wrong for way in ways if (wrong := way.fault(output))) or None

    return Check(f"its squares are {', '.join(map(str, colours))}, give or take {within}", fault)


def equals(expected: NDArray[np.uint8], within: int = 0, what: str = "the original's") -> Check:
    """Compare every pixel; RGB or RGBA, but no colour where nothing is to be seen."""
    wanted = expected.astype(np.int16)

    def fault(output: Output) -> str | None:
        found = output.rgba[..., : wanted.shape[-1]]
        if found.shape != wanted.shape:
            return f"it is {output.size[0]} by {output.size[1]} pixels"
        difference = np.abs(found - wanted)
        if wanted.shape[-1] == 4:
            difference[(wanted[..., 3] == 0) & (found[..., 3] == 0)] = 0
        worst = int(difference.max())
        y, x = np.unravel_index(int(difference.max(axis=-1).argmax()), wanted.shape[:2])
        place = f"at {x}, {y}: {found[y, x].tolist()} and not {wanted[y, x].tolist()}"
        return None if worst <= within else f"a pixel differs by {worst} ({place})"

    exactly = f"differs from {what} by more than {within}" if within else f"differs from {what}"
    return Check(f"no pixel {exactly}", fault)


def is_near(expected: NDArray[np.uint8], mean: float) -> Check:
    """Compare as a whole: the mean of all differences, and of each channel."""
    wanted = expected.astype(np.int16)

    def fault(output: Output) -> str | None:
        if output.rgb.shape != wanted.shape:
            return f"it is {output.size[0]} by {output.size[1]} pixels"
        difference = output.rgb - wanted
        shift = np.abs(difference.mean(axis=(0, 1))).max()
        spread = np.abs(difference).mean()
        if shift <= 1 and spread <= mean:
            return None
        return f"pixels differ by {spread:.1f} on average, a channel by {shift:.1f}"

    return Check(f"pixels differ by {mean} on average at most, and no channel by more than 1", fault)


def is_made_of(expected: Sequence[int]) -> Check:
    """Look at the red of one row, column by column: a ramp tells where each pixel comes from."""
    wanted = np.array(expected)

    def fault(output: Output) -> str | None:
        row = output.rgb[output.size[1] // 2, :, 0]
        if row.shape != wanted.shape:
            return f"it is {len(row)} pixels wide"
        worst = int(np.abs(row - wanted).max())
        return None if worst <= 3 else f"a column is off by {worst} levels: {row[:6].tolist()} …"

    return Check(f"its columns are {list(expected[:3])} … {list(expected[-2:])}, give or take 3 levels", fault)


def is_even(channel: int, low: int, high: int) -> Check:
    """Look at all values of a channel (0 to 3: red, green, blue, alpha)."""

    def fault(output: Output) -> str | None:
        values = output.rgba[..., channel]
        if low <= values.min() and values.max() <= high:
            return None
        return f"{['red', 'green', 'blue', 'alpha'][channel]} goes from {values.min()} to {values.max()}"

    return Check(f"{['red', 'green', 'blue', 'alpha'][channel]} lies between {low} and {high} everywhere", fault)


def has_levels(least: int) -> Check:
    def fault(output: Output) -> str | None:
        levels = len(np.unique(output.rgb[..., 0]))
        return None if levels >= least else f"there are {levels} levels"

    return Check(f"it has {least} levels of grey or more", fault)


def others(*checks: Sequence[Check]) -> Check:
    """Look at each of the other outputs with checks of its own."""
    texts = " / ".join("; ".join(check.text for check in each) for each in checks)

    def fault(output: Output) -> str | None:
        pairs = zip(output.others, checks, strict=True)
        found = [wrong for other, each in pairs for check in each if (wrong := check.fault(other))]
        return "of another: " + "; ".join(found) if found else None

    return Check(f"of the others: {texts}", fault)

"""Checks of how an animation plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conformance.claims import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from conformance.output import Output


def is_a_still() -> Check:
    def fault(output: Output) -> str | None:
        return None if output.frames == 1 else f"it has {output.frames} frames"

    return Check("it has one frame", fault)


def has_frames(count: int) -> Check:
    def fault(output: Output) -> str | None:
        return None if output.frames == count else f"it has {output.frames} frames"

    return Check(f"it has {count} frames", fault)


def plays_so_often(plays: int) -> Check:
    def fault(output: Output) -> str | None:
        return None if output.plays == plays else f"it says {output.plays}"

    return Check(f"it plays {f'{plays} times' if plays else 'for ever'}", fault)


def runs_as(timeline: Sequence[tuple[NDArray[np.uint8], int]], within: int = 0) -> Check:
    """Compare what is seen at the middle of each of the frames, and how long all takes; frames may be merged."""
    total = sum(ms for _, ms in timeline)

    def fault(output: Output) -> str | None:
        lasts = sum(shown.ms for shown in output.shown_frames)
        if lasts != total:
            return f"it lasts {lasts} ms: {[shown.ms for shown in output.shown_frames]}"
        start = 0
        for number, (pixels, ms) in enumerate(timeline):
            seen = _seen_at(output, start + ms / 2)
            start += ms
            difference = np.abs(seen - pixels.astype(np.int16))
            difference[(seen[..., 3] == 0) & (pixels[..., 3] == 0)] = 0
            if (worst := int(difference.max())) > within:
                y, x = np.unravel_index(int(difference.max(axis=-1).argmax()), seen.shape[:2])
                place = f"{seen[y, x].tolist()} at {x}, {y}, not {pixels[y, x].tolist()}"
                return f"frame {number} is off by {worst}: {place}"
        return None

    return Check(f"every frame is seen when it should be, and as it should, within {within}", fault)


def _seen_at(output: Output, ms: float) -> NDArray[np.int16]:
    for shown in output.shown_frames:
        if ms < shown.ms:
            return shown.rgba
        ms -= shown.ms
    return output.shown_frames[-1].rgba

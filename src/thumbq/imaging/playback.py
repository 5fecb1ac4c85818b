"""The playback of animations: times and number of plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import ImageChops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_LONGEST_MS: Final = (1 << 24) - 1
"""RFC 9649, ANMF."""

_LONGEST_IN_ALL_MS: Final = (1 << 31) - 1
"""libwebp counts the time with an int."""


@dataclass(frozen=True, slots=True)
class Playback:
    """Milliseconds of each frame, and the number of plays of all (0: for ever)."""

    durations_ms: tuple[int, ...]
    plays: int


def longest_frame_ms(frames: int) -> int:
    """Return how long one of so many frames may be shown."""
    return min(_LONGEST_MS, _LONGEST_IN_ALL_MS // frames)


def merged(frames: Sequence[Image.Image], playback: Playback) -> tuple[list[Image.Image], Playback]:
    """Show equal neighbours as one frame, for the time of both, and no frame longer than a file can state.

    Encoders would do it by themselves, but some do and some do not.
    """
    longest_ms = longest_frame_ms(len(frames))
    kept: list[Image.Image] = []
    durations_ms: list[int] = []
    for frame, duration_ms in zip(frames, playback.durations_ms, strict=True):
        shown_ms = min(duration_ms, longest_ms)
        if kept and are_equal(frame, kept[-1]) and durations_ms[-1] + shown_ms <= longest_ms:
            durations_ms[-1] += shown_ms
        else:
            kept.append(frame)
            durations_ms.append(shown_ms)
    return kept, Playback(tuple(durations_ms), playback.plays)


def are_equal(one: Image.Image, other: Image.Image) -> bool:
    """Return whether two pictures have the same pixels."""
    return one.mode == other.mode and ImageChops.difference(one, other).getbbox(alpha_only=False) is None

"""How animations run, and what their encoders leave undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import ImageChops

from thumbq.imaging import avifmotion
from thumbq.imaging.frames import webp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_LONGEST_MS: Final = (1 << 24) - 1
"""RFC 9649, ANMF."""

_LONGEST_IN_ALL_MS: Final = (1 << 31) - 1
"""libwebp counts the time with an int."""

_MOST_PLAYS: Final = {"webp": (1 << 16) - 1, "png": (1 << 31) - 1}
_LARGEST_NUMERATOR: Final = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Motion:
    """How an animation runs: milliseconds a frame, and how often it is played (0: for ever)."""

    durations_ms: tuple[int, ...]
    plays: int

    def options(self, image_format: str) -> dict[str, Any]:
        """Return Pillow's options for it.

        WebP and PNG have their limits for the number of plays, and PNG tells times over 65.535 s in coarser steps (a
        fraction of 16-bit numbers). ``mended`` tells an AVIF how often it is played: Pillow cannot.
        """
        durations_ms = [_as_fraction(ms) for ms in self.durations_ms] if image_format == "png" else self.durations_ms
        options: dict[str, Any] = {"save_all": True, "duration": list(durations_ms)}
        if image_format in _MOST_PLAYS:
            options["loop"] = min(self.plays, _MOST_PLAYS[image_format])
        return options


def merged(frames: Sequence[Image.Image], motion: Motion) -> tuple[list[Image.Image], Motion]:
    """Show equal neighbours as one frame, for the time of both, and no frame longer than a file can say.

    Encoders would do it by themselves, but some do and some do not.
    """
    longest_ms = min(_LONGEST_MS, _LONGEST_IN_ALL_MS // len(frames))
    kept: list[Image.Image] = []
    durations_ms: list[int] = []
    for frame, duration_ms in zip(frames, motion.durations_ms, strict=True):
        shown_ms = min(duration_ms, longest_ms)
        if kept and _are_equal(frame, kept[-1]) and durations_ms[-1] + shown_ms <= longest_ms:
            durations_ms[-1] += shown_ms
        else:
            kept.append(frame)
            durations_ms.append(shown_ms)
    return kept, Motion(tuple(durations_ms), motion.plays)


def mended(body: bytes, motion: Motion, *, seen_through: bool) -> bytes:
    """Return an animated file with what its encoder got wrong put right."""
    if body[4:8] == b"ftyp":
        return avifmotion.mended(body, plays=motion.plays)
    return webp.with_alpha(body) if seen_through and webp.lacks_alpha(body) else body


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and ImageChops.difference(one, other).getbbox(alpha_only=False) is None


def _as_fraction(duration_ms: int) -> int:
    unit = 1
    while duration_ms > _LARGEST_NUMERATOR * unit:
        unit *= 10
    return round(duration_ms / unit) * unit

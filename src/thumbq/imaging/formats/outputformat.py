"""The declaration of a format as an output, in its folder."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from thumbq.core.preset import Preset
    from thumbq.imaging.playback import Playback

MOST_EFFORT = 9
_USUAL_EFFORT = 3
"""For a preset without one; PNG's own is another, which changes no cost."""


class Rendition(NamedTuple):
    """Pixels of a rendition, and the options of its preset that make it costly."""

    pixels: int
    format: str
    lossless: bool = False
    effort: int | None = None
    full_chroma: bool = False
    sharpened: bool = False


class EncodingCost(NamedTuple):
    """The cost of encoding a pixel: bytes and nanoseconds, without and with alpha, and in an animation.

    ``frame_bytes`` are held for each pixel of all its frames. ``costs`` says how the numbers were measured: of noise,
    whose encoding takes the longest.
    """

    opaque_bytes: float
    alpha_bytes: float
    animated_bytes: float
    opaque_ns: int
    alpha_ns: int
    animated_ns: int
    frame_bytes: int

    def times(self, factor: float) -> EncodingCost:
        """Return the cost with all times multiplied."""
        return self._replace(
            opaque_ns=round(factor * self.opaque_ns),
            alpha_ns=round(factor * self.alpha_ns),
            animated_ns=round(factor * self.animated_ns),
        )


def saved(pixels: Image.Image, image_format: str, options: Mapping[str, Any]) -> bytes:
    """Let Pillow write a file."""
    file = io.BytesIO()
    pixels.save(file, image_format, **options)
    return file.getvalue()


def usual_animation(playback: Playback) -> dict[str, Any]:
    """Return Pillow's options for an animation that a format can describe as it is."""
    return {"save_all": True, "duration": list(playback.durations_ms)}


def unchanged(file: bytes, _playback: Playback, _seen_through: bool) -> bytes:  # noqa: FBT001 -- see OutputFormat
    """Return an animated file as its encoder wrote it."""
    return file


class FrameWriter(Protocol):
    """Writes an animation frame by frame."""

    def add(self, pixels: Image.Image, duration_ms: int) -> None:
        """Encode one frame."""
        ...

    def finish(self) -> bytes:
        """Return the file."""
        ...


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The writing of renditions in one format.

    ``options`` are Pillow's for a preset, ``animation_options`` those for an animation beside them. ``cost`` is that of
    a pixel of a rendition. ``frame_by_frame`` starts an animation of a size with all those options, where its frames
    need not all be there at once. ``mend_animation`` corrects an animated file after its encoder; its arguments are the
    file, its playback, and whether any of it is transparent.
    """

    options: Callable[[Preset], dict[str, Any]]
    cost: Callable[[Rendition], EncodingCost]
    save: Callable[[Image.Image, str, Mapping[str, Any]], bytes] = saved
    animation_options: Callable[[Playback], dict[str, Any]] = usual_animation
    frame_by_frame: Callable[[tuple[int, int], Mapping[str, Any]], FrameWriter] | None = None
    mend_animation: Callable[[bytes, Playback, bool], bytes] = unchanged


def cost_by_effort(levels: Mapping[int, EncodingCost], rendition: Rendition) -> EncodingCost:
    """Look up a rendition's cost in a table that says from which effort on each entry counts."""
    effort = _USUAL_EFFORT if rendition.effort is None else rendition.effort
    return levels[max(least for least in levels if least <= effort)]


def subsampling(preset: Preset) -> str:
    """Return Pillow's name for a preset's resolution of colour."""
    return ("4:4:4" if preset.full_chroma else "4:2:0") if preset.chroma == "auto" else preset.chroma

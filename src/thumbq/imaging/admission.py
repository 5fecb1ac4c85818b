"""Before anything is decoded: what it would cost, and whether that is agreed to."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from thumbq.errors import RenderRefused
from thumbq.imaging import MIB
from thumbq.imaging.costs import predict
from thumbq.imaging.encodingcosts import Rendition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.header import Header

__all__ = ["Rendition", "admit", "renditions"]


def admit(
    header: Header, *, scale: int, gap: float, renditions: Sequence[Rendition], animated: bool, limits: Limits
) -> None:
    """Refuse an image whose rendering would cost more than the limits allow.

    ``scale``, ``gap``, ``renditions`` and ``animated`` are those of ``costs.predict``; of an animation that becomes a
    still only the first frame counts.

    Raises RenderRefused: too-many-scans, too-many-frames, too-large.
    """
    facts = header.jpeg
    if facts is not None and facts.scans > limits.max_scans:
        raise RenderRefused("too-many-scans", f"the JPEG has {facts.scans} scans; the limit is {limits.max_scans}")
    if animated and header.frames > limits.max_frames:
        raise RenderRefused(
            "too-many-frames", f"the animation has {header.frames:,} frames; the limit is {limits.max_frames:,}"
        )
    cost = predict(header, scale=scale, gap=gap, renditions=renditions, animated=animated)
    what = f"{header.width} by {header.height} pixels" + (f" in {header.frames} frames" if animated else "")
    if cost.memory_bytes > limits.max_memory_bytes:
        raise RenderRefused(
            "too-large",
            f"rendering these {what} would take about {ceil(cost.memory_bytes / MIB):,} MiB;"
            f" the limit is {limits.max_memory_bytes // MIB:,} MiB",
        )
    if animated:
        _check_all_pixels(header, limits)
    if cost.cpu_s > limits.max_cpu_s:
        raise RenderRefused(
            "too-large",
            f"rendering these {what} would take about {ceil(cost.cpu_s):,} s of CPU time;"
            f" the limit is {limits.max_cpu_s:g} s",
        )


def _check_all_pixels(header: Header, limits: Limits) -> None:
    width, height = header.animated_size or (header.width, header.height)
    pixels = header.frames * width * height
    if pixels > limits.max_animation_pixels:
        raise RenderRefused(
            "too-many-frames",
            f"the animation has {pixels:,} pixels in its {header.frames:,} frames;"
            f" the limit is {limits.max_animation_pixels:,}",
        )


def renditions(targets: Sequence[Target], presets: Sequence[Preset]) -> list[Rendition]:
    """Return what is to be known of each preset's rendition: the larger one, where it has two possible targets."""
    largest: dict[Preset, int] = {}
    for one, preset in zip(targets, presets, strict=True):
        largest[preset] = max(largest.get(preset, 0), one.size[0] * one.size[1])
    return [
        Rendition(pixels, preset.format, preset.lossless, preset.effort, preset.full_chroma, preset.sharpen > 0)
        for preset, pixels in largest.items()
    ]

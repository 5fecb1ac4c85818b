"""Admission: what an image would cost, before any decoder sees it, and whether that is within the limits."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, cast

from thumbq.core.units import MIB
from thumbq.errors import RenderRefused
from thumbq.imaging import heap
from thumbq.imaging.costs import Cost, predict
from thumbq.imaging.formats.outputformat import Rendition
from thumbq.imaging.geometry import reducing_gaps
from thumbq.ports import NotMade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.header import Header
    from thumbq.ports.rendering import NotMadeCode

OVER_BUDGET: Final = frozenset({"too-large", "too-many-frames", "too-many-scans"})
"""The codes of ``admit``'s refusals."""

__all__ = ["OVER_BUDGET", "ImageBudget", "Rendition", "admit", "affordable", "renditions"]


class _Admitted(Exception):
    """Says what an admitted image would cost, before anything of it is decoded."""

    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self.cost = cost


class _Inquiry:
    """A budget that lets nobody decode: it raises also for what would be admitted."""

    def __init__(self, budget: ImageBudget) -> None:
        self._budget = budget
        self.spare_bytes = 0

    def admit(
        self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int = 1, animated: bool = False
    ) -> None:
        raise _Admitted(self._budget.cost(targets, presets, scale=scale, animated=animated))

    def allows(self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int) -> bool:
        return self._budget.allows(targets, presets, scale=scale)


class ImageBudget:
    """The budget of one image: the cost that its header predicts, against the limits."""

    def __init__(self, header: Header, limits: Limits) -> None:
        self._header = header
        self._limits = limits
        self._spare_bytes = 0

    @property
    def spare_bytes(self) -> int:
        """The memory that the limit leaves beside what was admitted, 0 before."""
        return self._spare_bytes

    def admit(
        self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int = 1, animated: bool = False
    ) -> None:
        """Refuse the image if decoding it at 1/``scale`` and making these targets costs too much. See ``admit``.

        What is admitted finds the memory that it needs.
        """
        cost = self.cost(targets, presets, scale=scale, animated=animated)
        self._spare_bytes = self._limits.max_memory_bytes - cost.memory_bytes
        heap.make_room(cost.memory_bytes, self._limits.max_memory_bytes)

    def cost(
        self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int = 1, animated: bool = False
    ) -> Cost:
        """Return what that costs. Raises as ``admit``."""
        return admit(
            self._header,
            scale=scale,
            reducing_gap=min(map(min, reducing_gaps(targets, 1))) / scale,
            renditions=renditions(targets, presets),
            animated=animated,
            limits=self._limits,
        )

    def allows(self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int) -> bool:
        """Return whether ``admit`` would pass."""
        try:
            self.cost(targets, presets, scale=scale)
        except RenderRefused:
            return False
        return True


def admit(
    header: Header, *, scale: int, reducing_gap: float, renditions: Sequence[Rendition], animated: bool, limits: Limits
) -> Cost:
    """Return what an image would cost; refuse it when that is more than the limits allow.

    ``scale``, ``reducing_gap``, ``renditions`` and ``animated`` are those of ``costs.predict``; of an animation that
    becomes a still only the first frame counts.

    Raises RenderRefused: too-many-scans, too-many-frames, too-large.
    """
    coding = header.jpeg
    if coding is not None and coding.scans > limits.max_scans:
        raise RenderRefused("too-many-scans", f"the JPEG has {coding.scans} scans; the limit is {limits.max_scans}")
    if animated and header.frames > limits.max_frames:
        raise RenderRefused(
            "too-many-frames", f"the animation has {header.frames:,} frames; the limit is {limits.max_frames:,}"
        )
    cost = predict(header, scale=scale, reducing_gap=reducing_gap, renditions=renditions, animated=animated)
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
    return cost


def affordable(
    decode: Callable[[Sequence[Preset], Budget], object], presets: Sequence[Preset], header: Header, limits: Limits
) -> tuple[list[Preset], list[NotMade]]:
    """Divide presets that are together over the budget: those that can be made, the cheapest first, and the others.

    ``decode`` is a format's, which asks a budget before it decodes anything; it is only asked, and decodes nothing.
    """
    inquiry = _Inquiry(ImageBudget(header, limits))

    def asked(some: Sequence[Preset]) -> Cost | RenderRefused:
        try:
            decode(some, inquiry)
        except _Admitted as admitted:
            return admitted.cost
        except RenderRefused as refused:
            return refused
        raise AssertionError("a format decodes without asking its budget")

    alone = {preset: asked([preset]) for preset in presets}
    kept: set[Preset] = set()
    refused = {preset: answer for preset, answer in alone.items() if isinstance(answer, RenderRefused)}
    costs = {preset: answer for preset, answer in alone.items() if isinstance(answer, Cost)}
    for preset in sorted(costs, key=lambda each: (costs[each].cpu_s, costs[each].memory_bytes)):
        answer = asked([each for each in presets if each in kept or each is preset])
        if isinstance(answer, RenderRefused):
            refused[preset] = answer
        else:
            kept.add(preset)
    dear = [
        NotMade(preset.name, cast("NotMadeCode", refused[preset].code), refused[preset].text)
        for preset in presets
        if preset in refused
    ]
    return [preset for preset in presets if preset in kept], dear


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
    """Return each preset's rendition as its cost depends on it: the larger one, where it has two possible targets."""
    largest: dict[Preset, int] = {}
    for one, preset in zip(targets, presets, strict=True):
        largest[preset] = max(largest.get(preset, 0), one.size[0] * one.size[1])
    return [
        Rendition(pixels, preset.format, preset.lossless, preset.effort, preset.full_chroma, preset.sharpen > 0)
        for preset, pixels in largest.items()
    ]

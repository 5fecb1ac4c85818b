"""The clock: renders in turn with what they are compared to, so that a machine that slows down hurts both."""

from __future__ import annotations

import json
import mmap
import resource
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import pi_heif  # type: ignore[import-untyped]  # it ships no types
import PIL
from PIL import features

from thumbq.bench.figures import THUMBQ, Timing
from thumbq.bench.references import references
from thumbq.imaging import Refusal
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.ports import Rendered

_LIBRARIES: Final = ("libjpeg_turbo", "webp", "avif", "libtiff", "zlib", "littlecms2")


def timed(original: Original, presets: Sequence[Preset], *, runs: int, limits: Limits) -> Rendered | Refusal:
    """Render, and say how long it took. A render function for the pool: the first body is a Timing, in JSON.

    All is run once before it is timed. A reference that cannot cope with the image is left out.
    """
    rendered = render(original, presets, limits)
    if isinstance(rendered, Refusal):
        return rendered
    contestants: dict[str, Callable[[], object]] = {THUMBQ: partial(render, original, presets, limits)}
    failed: dict[str, str] = {}
    for name, reference in references(original[:], presets, rendered).items():
        try:
            reference()
        except Exception as error:  # noqa: BLE001 -- what a decoder does to others must not cost the figures of the render
            failed[name] = f"{type(error).__name__}: {error}"[:200]
        else:
            contestants[name] = reference
    cpu_ms: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, work in contestants.items():
            _forget_pages(original)
            cpu_ms[name].append(_cpu_ms(work))
    timing = Timing(cpu_ms, failed, _libraries())
    first, *others = rendered.images
    body = json.dumps(asdict(timing)).encode()
    return replace(rendered, images=(replace(first, body=body), *others))


def _forget_pages(original: Original) -> None:
    """Each job maps its original anew, and has to fetch its pages."""
    if isinstance(original, mmap.mmap):
        original.madvise(mmap.MADV_DONTNEED)


def _cpu_ms(work: Callable[[], object]) -> float:
    before_s = _cpu_s()
    work()
    return 1000 * (_cpu_s() - before_s)


def _cpu_s() -> float:
    """Return this process's CPU time: time.process_time moves by ticks of the kernel where CPU time is limited."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _libraries() -> dict[str, str]:
    found = {name: features.version(name) for name in _LIBRARIES}
    return {
        "pillow": PIL.__version__,
        **{name: version for name, version in found.items() if version is not None},
        "libheif": pi_heif.libheif_version(),
    }

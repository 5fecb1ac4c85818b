"""PNG and APNG, in and out: an APNG's frames are composited by thumbq, and Pillow sees each as a file of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from PIL import PngImagePlugin  # noqa: F401 -- Image.open takes the formats whose plugins are loaded

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging.decode import decode_whole
from thumbq.imaging.formats.inputformat import USUAL_COSTS, InputFormat
from thumbq.imaging.formats.outputformat import EncodingCost, OutputFormat, cost_by_effort, usual_animation
from thumbq.imaging.formats.png import rows
from thumbq.imaging.formats.png.colours import source_profile
from thumbq.imaging.formats.png.frames import animation
from thumbq.imaging.formats.png.header import read
from thumbq.imaging.formats.png.inflated import inflated, needed_bytes
from thumbq.imaging.formats.png.stream import open_png
from thumbq.imaging.formats.png.transparency import scale_color_key
from thumbq.imaging.opening import Opened, open_with_pillow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.header import Header
    from thumbq.imaging.playback import Playback

_LEVEL: Final = 6
_MOST_PLAYS: Final = (1 << 31) - 1
_LARGEST_NUMERATOR: Final = (1 << 16) - 1
_COSTS: Final = {
    0: EncodingCost(9.5, 10.5, 20, 390, 500, 500, 12),
    7: EncodingCost(9.5, 10.5, 20, 620, 800, 800, 12),
    8: EncodingCost(9.5, 10.5, 20, 1200, 1500, 1500, 12),
}


def _decode(original: Original, header: Header, presets: Sequence[Preset], budget: Budget) -> Decoded:
    return decode_whole(partial(_open, budget), original, header, presets, budget)


def _open(budget: Budget, original: Original, header: Header) -> Opened:
    assert header.png is not None
    has_room = needed_bytes(original, header) <= budget.spare_bytes
    pixels = inflated(original, header) if has_room else None
    image = open_with_pillow(open_png(original, header.png, pixels), ImageFormat.PNG)
    scale_color_key(image)

    def load() -> Image.Image:
        rows.mark(image)
        image.load()
        if not rows.all_there(image, original, header):
            raise RenderRefused("truncated", "the PNG has fewer rows than its header says")
        return image

    return Opened(image, source_profile(original, header.png.told), load)


def _options(preset: Preset) -> dict[str, Any]:
    return {"compress_level": _LEVEL if preset.effort is None else preset.effort}


def _animation_options(playback: Playback) -> dict[str, Any]:
    durations_ms = [_as_fraction(ms) for ms in playback.durations_ms]
    return usual_animation(playback) | {"duration": durations_ms, "loop": min(playback.plays, _MOST_PLAYS)}


def _as_fraction(duration_ms: int) -> int:
    """Return a time that a fraction of 16-bit numbers can tell: over 65.535 s in coarser steps."""
    unit = 1
    while duration_ms > _LARGEST_NUMERATOR * unit:
        unit *= 10
    return round(duration_ms / unit) * unit


INPUT: Final = InputFormat(read, _decode, USUAL_COSTS, animation=animation)
OUTPUT: Final = OutputFormat(_options, partial(cost_by_effort, _COSTS), animation_options=_animation_options)

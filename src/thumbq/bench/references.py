"""The references of a render: the decode that no render can do without, and the same done by hand."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Final

# Pillow would load the last one when it meets a JPEG with several pictures; in the sandbox it could not.
from PIL import Image, ImageOps, MpoImagePlugin

from thumbq.imaging.formats import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered

    Size = tuple[int, int]

LOADED: Final = (registry, MpoImagePlugin)
"""With thumbq's decoders: the formats that Pillow opens by plugins of theirs, with one thread each."""

_LOSSLESS: Final = "png"
_WITHOUT_ALPHA: Final = "jpeg"


def references(original: bytes, presets: Sequence[Preset], rendered: Rendered) -> Mapping[str, Callable[[], object]]:
    """Return what the render of an original is compared to, by name: see figures.LEGEND."""
    opened = partial(_open, original, rendered.format)
    sizes = [(image.width, image.height) for image in rendered.images]
    formats = [image.content_type.removeprefix("image/") for image in rendered.images]
    recipes = list(zip(presets, sizes, formats, strict=True))
    box = _box(presets[0], sizes[0]) if len(presets) == 1 and presets[0].fit != "none" else None
    by_hand = (
        {"naive": partial(_naive, opened, recipes)} if box is None else {"thumbnail": partial(_thumbnail, opened, box)}
    )
    return {"bare": partial(_bare, opened, max(sizes)), **by_hand}


def _open(original: bytes, image_format: str) -> Image.Image:
    return Image.open(io.BytesIO(original), formats=[image_format])


def _box(preset: Preset, size: Size) -> Size:
    """Return the box that is asked for; a missing side is that of the rendition."""
    return preset.width or size[0], preset.height or size[1]


def _bare(opened: Callable[[], Image.Image], size: Size) -> Image.Image:
    image = opened()
    if (image.width > image.height) != (size[0] > size[1]):  # it lies on its side
        size = size[::-1]
    image.draft(None, size)
    image.load()
    return image


def _thumbnail(opened: Callable[[], Image.Image], box: Size) -> None:
    opened().thumbnail(box)


def _naive(opened: Callable[[], Image.Image], recipes: Sequence[tuple[Preset, Size, str]]) -> None:
    for preset, size, image_format in recipes:
        image = ImageOps.exif_transpose(opened())
        mode = "RGBA" if image.has_transparency_data and image_format != _WITHOUT_ALPHA else "RGB"
        pixels = (image if image.mode == mode else image.convert(mode)).resize(size, Image.Resampling.LANCZOS)
        options = {} if image_format == _LOSSLESS else {"quality": preset.quality}
        pixels.save(io.BytesIO(), image_format, **options)

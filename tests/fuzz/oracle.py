"""The test oracle: every rendition opens, is as announced, and holds pixels only."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Final

from PIL import Image

from fuzz import canaries
from support.pictures.leaks import leaks
from thumbq.core.formats import sniff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered, RenderedImage

_INFO: Final = {
    "jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression", "transparency", "loop",
    "duration", "timestamp", "background", "blend", "disposal", "default_image", "bbox",
}  # fmt: skip
"""What Pillow tells of a file that is only a picture."""

_EVERY_FORMAT_TAKES: Final = 16_383
_MOST_LOADED: Final = 4_000_000


def faults(rendered: Rendered, presets: Sequence[Preset], original: bytes) -> Iterator[str]:
    """Yield what is wrong with the answer to an original."""
    announced = sniff(original)
    if announced is None or rendered.format != announced.name:
        yield f"a {announced} became a {rendered.format}"
    if min(rendered.width, rendered.height, rendered.frames) < 1:
        yield f"{rendered.frames} frames of {rendered.width} by {rendered.height}"
    if rendered.dominant_color is not None and not re.fullmatch("#[0-9a-f]{6}", rendered.dominant_color):
        yield f"the dominant colour is {rendered.dominant_color}"
    dear = {each.preset for each in rendered.not_made}
    presets = [preset for preset in presets if preset.name not in dear]
    if not presets or [image.preset for image in rendered.images] != [preset.name for preset in presets]:
        yield f"renditions {[image.preset for image in rendered.images]}, and {dear} too dear"
        return
    for image, preset in zip(rendered.images, presets, strict=True):
        for fault in _faults(image, preset, (rendered.width, rendered.height)):
            yield f"{preset.name}: {fault}"


def _faults(image: RenderedImage, preset: Preset, original: tuple[int, int]) -> Iterator[str]:
    found = sniff(image.body)
    if found is None or found.content_type != image.content_type or image.content_type not in preset.content_types:
        yield f"a {found}, announced as {image.content_type}"
        return
    if (rule := _broken_size_rule(image, preset, original)) is not None:
        yield f"{image.width} by {image.height} from {original}: {rule}"
    yield from metadata(image.body, keeps_copyright=preset.keep_copyright)
    yield from _as_opened(image, keeps_copyright=preset.keep_copyright)


def _broken_size_rule(image: RenderedImage, preset: Preset, original: tuple[int, int]) -> str | None:
    size = (image.width, image.height)
    box = (preset.width or size[0], preset.height or size[1])
    enlarged = not preset.enlarge and (size[0] > original[0] or size[1] > original[1])
    fits = original[0] >= box[0] and original[1] >= box[1]
    rules = {
        "no pixel": min(size) < 1,
        "not as the original": preset.fit == "none" and size != original and max(original) <= _EVERY_FORMAT_TAKES,
        "not the box": preset.fit == "fill" and size != box,
        "larger than the box": size[0] > box[0] or size[1] > box[1],
        "enlarged": preset.fit in {"contain", "cover"} and enlarged,
        "the box is not covered": preset.fit == "cover" and size != box and (preset.enlarge or fits),
    }
    return next((rule for rule, broken in rules.items() if broken), None)


def metadata(file: bytes, *, keeps_copyright: bool = False) -> Iterator[str]:
    """Yield what a file holds that is no picture; ``keeps_copyright`` allows EXIF with artist and copyright."""
    for leak in leaks(file, keep_copyright=keeps_copyright):
        # Mutations make a canary an artist's name.
        if not (keeps_copyright and leak.startswith("the planted")):
            yield leak
    if not keeps_copyright and any(trace in file for trace in canaries.TRACES):
        yield "a canary"


def _as_opened(image: RenderedImage, *, keeps_copyright: bool) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(image.body), formats=["JPEG", "PNG", "WEBP", "AVIF"]) as opened:
            if opened.size != (image.width, image.height):
                yield f"{opened.size}, announced as {image.width} by {image.height}"
            frames = getattr(opened, "n_frames", 1)
            if frames != image.frames:
                yield f"{frames} frames, announced as {image.frames}"
            if opened.width * opened.height <= _MOST_LOADED:
                opened.load()
            if extra := opened.info.keys() - _INFO - ({"exif", "dpi"} if keeps_copyright else set()):
                yield f"Pillow finds {sorted(map(str, extra))}"

"""One original in, the rendition of each preset out, or the reason why not."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from PIL import UnidentifiedImageError

from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal, colour, resize
from thumbq.imaging.decode import Decoded, decode
from thumbq.imaging.encode import encode
from thumbq.imaging.probe import Original, open_image
from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from thumbq.core.preset import Preset

_TRUNCATED_WORDS = ("truncated", "end of file", "unexpected end")


def render(original: Original, presets: Sequence[Preset], limits: Limits) -> Rendered | Refusal:
    """Make each preset's rendition of one original, in the order of the presets (at least one).

    Never raises for anything that is in the image: what a decoder throws comes back as a Refusal.
    """
    try:
        # Decoders warn about bad metadata; nobody reads a child's standard error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _render(original, presets, limits)
    except RenderRefused as refused:
        return Refusal(refused.code, refused.text)
    except MemoryError:
        return Refusal("out-of-memory", "decoding the image takes more memory than a render may have")
    except Exception as error:  # noqa: BLE001 -- hostile files make decoders raise every kind there is (also TypeError)
        return _refusal(error)


def _render(original: Original, presets: Sequence[Preset], limits: Limits) -> Rendered:
    image_format, image = open_image(original)
    with image:
        decoded = decode(image_format, image, presets, limits)
        pixels = colour.expanded(decoded.pixels)
        images = tuple(_rendition(pixels, decoded, preset) for preset in presets)
    return Rendered(image_format.value, *decoded.upright_size, images)


def _rendition(pixels: Image.Image, decoded: Decoded, preset: Preset) -> RenderedImage:
    width, height = resize.target_size(decoded.upright_size, preset)
    stored_size = resize.turned((width, height), decoded.orientation)
    small = resize.resized(pixels, stored_size, decoded.box)
    small = resize.upright(colour.to_srgb(small, decoded.icc_profile), decoded.orientation)
    return RenderedImage(preset.name, encode(small, preset), width, height, preset.content_types[0])


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, UnidentifiedImageError):
        return Refusal("corrupt", "the image's header is damaged")
    said = str(error)
    if any(word in said.lower() for word in _TRUNCATED_WORDS):
        return Refusal("truncated", "the image ends in the middle of its data")
    return Refusal("corrupt", f"the image is damaged and does not decode ({type(error).__name__}: {said[:200]})")

"""From a header to pixels: at the smallest scale that serves, and only at a cost that was agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from PIL import JpegImagePlugin

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging import MIB, probe, resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image, ImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits
    from thumbq.imaging.resize import Box, Size

_SHRINK_MARGIN: Final = 1.5
"""A JPEG is decoded at no less than this times the target; the Lanczos step does the rest."""

_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2}
_MOST_PIXEL_BYTES: Final = 4

_DECODER_COPIES: Final = {ImageFormat.WEBP: 2, ImageFormat.AVIF: 2, ImageFormat.HEIF: 2}
"""How often a decoder holds all pixels (at 4 bytes) where it makes the picture outside of Pillow's memory."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An original's pixels as they are stored, perhaps shrunk, and what is needed to make them right.

    ``box`` is where the picture lies in ``pixels`` (None: everywhere), ``upright_size`` the original's full size.
    """

    pixels: Image.Image
    box: Box | None
    orientation: int
    upright_size: Size
    icc_profile: bytes | None


def decode(image_format: ImageFormat, image: ImageFile.ImageFile, presets: Sequence[Preset], limits: Limits) -> Decoded:
    """Load an opened image at a size that serves all presets.

    Raises RenderRefused when that would cost more than the limits allow; a decoder may raise anything.
    """
    # Only a JPEG can use its orientation before the load; reading a PNG's decodes all of it.
    orientation = probe.orientation(image) if image_format is ImageFormat.JPEG else 1
    upright_size = resize.turned(image.size, orientation)
    targets = [resize.target_size(upright_size, preset) for preset in presets]
    box = _shrink_on_load(image, [resize.turned(target, orientation) for target in targets])
    admit(image_format, image, upright_size, targets, limits)
    icc_profile = image.info.get("icc_profile")
    image.load()
    if image_format in {ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.AVIF}:
        orientation = probe.orientation(image)
    # TIFF and HEIF turn while they load, and HEIF may find its size only then.
    if box is None:
        upright_size = resize.turned(image.size, orientation)
    return Decoded(image, box, orientation, upright_size, icc_profile if isinstance(icc_profile, bytes) else None)


def admit(
    image_format: ImageFormat,
    image: ImageFile.ImageFile,
    size: Size,
    targets: Sequence[Size],
    limits: Limits,
) -> None:
    """Refuse an image (of ``size`` before any shrinking) whose decoding and resizing would take too much memory."""
    cost = _decode_bytes(image_format, image, size)
    cost += max(width * height for width, height in targets) * _MOST_PIXEL_BYTES
    if cost > limits.max_memory_bytes:
        raise RenderRefused(
            "too-large",
            f"decoding these {size[0]} by {size[1]} pixels would take about {ceil(cost / MIB)} MiB;"
            f" the limit is {limits.max_memory_bytes // MIB} MiB",
        )


def _decode_bytes(image_format: ImageFormat, image: ImageFile.ImageFile, size: Size) -> int:
    loaded, full = image.size[0] * image.size[1], size[0] * size[1]
    if image_format is ImageFormat.JPEG:
        return loaded * _MOST_PIXEL_BYTES + full * _coefficient_bytes(image)
    # The pixels, and the copy with expanded palette, premultiplied alpha or 8 bits.
    own = loaded * (_PIXEL_BYTES.get(image.mode, _MOST_PIXEL_BYTES) + _MOST_PIXEL_BYTES)
    return own + loaded * _DECODER_COPIES.get(image_format, 0) * _MOST_PIXEL_BYTES


def _coefficient_bytes(image: ImageFile.ImageFile) -> int:
    """Return how many bytes a pixel a progressive JPEG's coefficients take at full size, whatever the scale."""
    if not image.info.get("progressive") or not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 0
    return 2 * image.layers


def _shrink_on_load(image: ImageFile.ImageFile, targets: Sequence[Size]) -> Box | None:
    """Let a JPEG decoder shrink, with room for the largest target; other formats have no such thing."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    width = ceil(_SHRINK_MARGIN * max(target[0] for target in targets))
    height = ceil(_SHRINK_MARGIN * max(target[1] for target in targets))
    drafted = image.draft(None, (width, height))
    return None if drafted is None else drafted[1]

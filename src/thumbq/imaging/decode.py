"""The usual way from a file to pixels, at full size and only within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.imaging.decoded import Decoded
from thumbq.imaging.geometry import reducing_gaps, target, turned
from thumbq.imaging.pillowpatches import decode_one_frame, release_decoder
from thumbq.imaging.resize import Picture, assembled, reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.geometry import Size
    from thumbq.imaging.header import Header
    from thumbq.imaging.opening import Opened

_THUMBNAIL_MARGIN: Final = 2
"""A HEIC's own thumbnail, which was compressed once more, serves targets of no more than half its size."""


def decode_whole(
    open_image: Callable[[Original, Header], Opened],
    original: Original,
    header: Header,
    presets: Sequence[Preset],
    budget: Budget,
) -> Decoded:
    """Load an image, the first frame of an animation, at its full size, and reduce it as far as all presets allow.

    Raises RenderRefused when that would cost more than the budget; a decoder may raise anything.
    """
    animated = header.frames > 1 and any(preset.animated for preset in presets)
    stored = header.width, header.height
    # Which way up it is can be known only after the load: reading a PNG's EXIF decodes all of it.
    possible = [target(size, preset) for size in (stored, stored[::-1]) for preset in presets]
    budget.admit(possible, [*presets, *presets], animated=animated)
    opened = open_image(original, header)
    served = _from_thumbnail(opened, presets)
    if served is not None:
        return served
    return _in_pieces(opened, stored, presets) if opened.pieces is not None else _at_once(opened, presets, animated)


def _at_once(opened: Opened, presets: Sequence[Preset], animated: bool) -> Decoded:  # noqa: FBT001 -- of this module
    image = opened.image
    if not animated:
        decode_one_frame(image)
    pixels = opened.load()
    if not animated and pixels is image:
        release_decoder(image)
    orientation = opened.orientation(image)
    upright_size = turned(pixels.size, orientation)
    targets = tuple(target(upright_size, preset) for preset in presets)
    picture = reduced(Picture(pixels, (1.0, 1.0)), reducing_gaps(targets, orientation))
    return Decoded(image, picture, targets, upright_size, orientation, opened.icc_profile, None)


def _in_pieces(opened: Opened, stored: Size, presets: Sequence[Preset]) -> Decoded:
    assert opened.pieces is not None
    image = opened.image
    release_decoder(image)
    orientation = opened.orientation(image)
    upright_size = turned(stored, orientation)
    targets = tuple(target(upright_size, preset) for preset in presets)
    picture = assembled(opened.pieces(), stored, reducing_gaps(targets, orientation))
    return Decoded(image, picture, targets, upright_size, orientation, opened.icc_profile, None)


def _from_thumbnail(opened: Opened, presets: Sequence[Preset]) -> Decoded | None:
    """Load the thumbnail in the file, when there is one that is large enough for all presets.

    It has to show the image, unless all presets take it as it is.
    """
    trusted = all(preset.embedded_thumbnail for preset in presets)
    if opened.thumbnail is None or not (trusted or opened.is_shown_by):
        return None
    image, small = opened.image, opened.thumbnail()
    if small is None:
        return None
    targets = tuple(target(image.size, preset) for preset in presets)
    scale = small.width / image.width, small.height / image.height
    gaps = [(across * scale[0], down * scale[1]) for across, down in reducing_gaps(targets, 1)]
    if min(map(min, gaps)) < _THUMBNAIL_MARGIN:
        return None
    if not trusted and not _shows_image(opened, small):
        return None
    small.load()
    picture = reduced(Picture(small, scale), gaps)
    return Decoded(small, picture, targets, image.size, 1, opened.icc_profile, "embedded-thumbnail")


def _shows_image(opened: Opened, small: Image.Image) -> bool:
    """Load a thumbnail, and return whether it shows the image: damaged ones do not."""
    assert opened.is_shown_by is not None
    try:
        small.load()
        return opened.is_shown_by(small)
    except Exception:  # noqa: BLE001 -- decoders raise every kind there is; the image itself says what is wrong
        return False

"""From a file to pixels: at the smallest scale that serves, and only at a cost that was agreed to."""

from __future__ import annotations

import io
import mmap
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, cast

import pi_heif  # type: ignore[import-untyped]  # it ships no types
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from thumbq.core.formats import ImageFormat
from thumbq.errors import RenderRefused
from thumbq.imaging import admission, colour, pngfile
from thumbq.imaging.admission import Rendition
from thumbq.imaging.embedded import thumbnail
from thumbq.imaging.frames import first_picture, gif, webp
from thumbq.imaging.geometry import target, turned
from thumbq.imaging.jpegstream import open_jpeg
from thumbq.imaging.resize import PHOTO_REDUCING_GAP, REDUCING_GAP, Picture, reduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import ImageFile

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.geometry import Size, Target
    from thumbq.imaging.header import Header
    from thumbq.ports.rendering import Shrinking

# Image.open takes the formats that are loaded; without these it would load every plugin that Pillow has.
LOADED: Final = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

# A child has one CPU to itself; more threads would only multiply its memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# Pillow's own limit counts pixels: it stops a JPEG that shrinks while it loads and lets a progressive bomb pass.
# admission takes its place.
Image.MAX_IMAGE_PIXELS = None

_SHRINK_MARGINS: Final = {8: 6.0, 4: 6.0, 2: 3.0}
"""A JPEG is decoded at no less than this times the targets; the Lanczos step does the rest. Screenshots need it."""

_PHOTO_MARGINS: Final = {8: 1.5, 4: 1.5, 2: 1.5}
"""The same for what a camera made."""

_WORDS: Final[Mapping[int, Shrinking]] = {2: "1/2", 4: "1/4", 8: "1/8"}
_MEANS: Final = 8
_DC_ONLY_GAP: Final = 16
"""With this many pixels for one of the target, the DC coefficients (an eighth of the size) are all that is needed."""

_THUMBNAIL_MARGIN: Final = 2
"""A HEIC's own thumbnail, which was compressed once more, serves targets of no more than half its size."""

_TURNED_BY_DECODER: Final = frozenset({ImageFormat.TIFF, ImageFormat.HEIF})
_WITH_ALPHA: Final = 4
_WEBP_CANVASES_BYTES: Final = 8
_ORIENTATIONS: Final = range(1, 9)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An original's first picture and what is needed to make renditions of it; ``image`` has the further frames."""

    image: ImageFile.ImageFile
    picture: Picture
    targets: tuple[Target, ...]
    upright_size: Size
    orientation: int
    icc_profile: bytes | None
    shrink_on_load: Shrinking | None


def decode(original: Original, header: Header, presets: Sequence[Preset], limits: Limits) -> Decoded:
    """Load an image, the first frame of an animation, at a size that serves all presets.

    Raises RenderRefused when that would cost more than the limits allow; a decoder may raise anything.
    """
    if header.jpeg is not None:
        return _decode_jpeg(original, header, presets, limits)
    frames = header.frames if any(preset.animated for preset in presets) else 1
    stored = header.width, header.height
    # Which way up it is can be known only after the load: reading a PNG's EXIF decodes all of it.
    possible = [target(size, preset) for size in (stored, stored[::-1]) for preset in presets]
    admission.admit(
        header,
        scale=1,
        gap=min(map(min, _gaps(possible, 1))),
        renditions=_renditions(possible, [*presets, *presets]),
        animated=frames > 1,
        limits=limits,
    )
    image = _opened(original, header)
    colour.mend(image)
    icc_profile = colour.stated_profile(image, original)
    if header.format is ImageFormat.HEIF and all(preset.embedded_thumbnail for preset in presets):
        served = _embedded(original, image, presets, icc_profile)
        if served is not None:
            return served
    # Nearly always there is none.
    pixels = first_picture(original, header)
    if pixels is None:
        _load(image, original, header)
        pixels = image
    turn = 1 if header.format in _TURNED_BY_DECODER else orientation(image)
    upright_size = turned(pixels.size, turn)
    targets = tuple(target(upright_size, preset) for preset in presets)
    picture = reduced(Picture(pixels, (1.0, 1.0)), _gaps(targets, turn))
    return Decoded(image, picture, targets, upright_size, turn, icc_profile, None)


def _opened(original: Original, header: Header) -> ImageFile.ImageFile:
    file = cast("IO[bytes]", original) if isinstance(original, mmap.mmap) else io.BytesIO(original)
    if header.format is ImageFormat.GIF:
        file = gif.first_file(original)
    elif header.format is ImageFormat.WEBP and header.channels == _WITH_ALPHA and webp.lacks_alpha(original):
        file = io.BytesIO(webp.with_alpha(original))
    try:
        return Image.open(file, formats=[header.format.value])
    except OSError:
        if header.format is ImageFormat.WEBP:
            # libwebp makes two canvases here and has one word for all that fails: this raises when it was memory.
            bytearray(_WEBP_CANVASES_BYTES * header.width * header.height)
        raise


def _load(image: ImageFile.ImageFile, original: Original, header: Header) -> None:
    if header.format is not ImageFormat.PNG:
        image.load()
        return
    pngfile.mark(image)
    image.load()
    if not pngfile.all_there(image, original, header):
        raise RenderRefused("truncated", "the PNG has fewer rows than its header says")


def next_picture(decoded: Decoded, frame: int) -> Picture:
    """Load a further frame of an animation that its decoder composites (WebP, AVIF), at the size of the first."""
    decoded.image.seek(frame)
    decoded.image.load()
    return ready(decoded, decoded.image)


def ready(decoded: Decoded, pixels: Image.Image) -> Picture:
    """Return the pixels of a further frame, of the size of the first, ready for resampling."""
    return reduced(Picture(pixels, (1.0, 1.0)), _gaps(decoded.targets, decoded.orientation))


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; anything that makes no sense counts as 1."""
    value = exif_value(image, ExifTags.Base.Orientation)
    return value if type(value) is int and value in _ORIENTATIONS else 1


def exif_value(image: Image.Image, tag: int) -> object:
    """Return the value of an EXIF tag; None when it is not there, or the EXIF is damaged."""
    try:
        return image.getexif().get(tag)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 -- Pillow's EXIF reader raises a dozen kinds; bad metadata must not cost the picture
        return None


def _embedded(
    original: Original, image: ImageFile.ImageFile, presets: Sequence[Preset], icc_profile: bytes | None
) -> Decoded | None:
    """Load a HEIC's own thumbnail, when there is one that is large enough for all presets."""
    found = thumbnail(original)
    targets = tuple(target(image.size, preset) for preset in presets)
    if found is None:
        return None
    small = Image.open(io.BytesIO(found.file), formats=[ImageFormat.HEIF.value])
    scale = small.width / image.width, small.height / image.height
    gaps = [(across * scale[0], down * scale[1]) for across, down in _gaps(targets, 1)]
    if min(map(min, gaps)) < _THUMBNAIL_MARGIN:
        return None
    small.load()
    return Decoded(
        small, reduced(Picture(small, scale), gaps), targets, image.size, 1, icc_profile, "embedded-thumbnail"
    )


def _decode_jpeg(original: Original, header: Header, presets: Sequence[Preset], limits: Limits) -> Decoded:
    assert header.jpeg is not None
    # Not by Image.open, which would look for the further pictures of an MPO.
    image = JpegImagePlugin.JpegImageFile(open_jpeg(original, header.jpeg, dc_only=False))
    turn = orientation(image)
    upright_size = turned(image.size, turn)
    targets = tuple(target(upright_size, preset) for preset in presets)
    photo = exif_value(image, ExifTags.Base.Make) is not None
    gaps = _gaps(targets, turn)
    shrink = _shrink(gaps, _PHOTO_MARGINS if photo else _SHRINK_MARGINS)
    admission.admit(
        header,
        scale=shrink,
        gap=min(map(min, gaps)) / shrink,
        renditions=_renditions(targets, presets),
        animated=False,
        limits=limits,
    )
    icc_profile = colour.stated_profile(image, original)
    word: Shrinking | None = None
    if shrink > 1:
        word = _WORDS[shrink]
        if shrink == _MEANS and header.jpeg.dc_end is not None and min(map(min, gaps)) >= _DC_ONLY_GAP:
            word = "1/8 dc-only"
            image = JpegImagePlugin.JpegImageFile(open_jpeg(original, header.jpeg, dc_only=True))
        # Pillow takes the largest shrinking that gives at least this size: the one that was chosen.
        image.draft(None, (image.width // shrink, image.height // shrink))
    image.load()
    shrunk = Picture(image, (1 / shrink, 1 / shrink), PHOTO_REDUCING_GAP if photo else REDUCING_GAP)
    picture = reduced(shrunk, [(across / shrink, down / shrink) for across, down in gaps])
    return Decoded(image, picture, targets, upright_size, turn, icc_profile, word)


def _gaps(targets: Sequence[Target], turn: int) -> list[tuple[float, float]]:
    """Return how many stored pixels go into one of each target, across and down."""
    upright = (
        ((right - left) / width, (bottom - top) / height)
        for (width, height), (left, top, right, bottom) in ((one.size, one.crop) for one in targets)
    )
    return [gap if turned((0, 1), turn) == (0, 1) else gap[::-1] for gap in upright]


def _shrink(gaps: Sequence[tuple[float, float]], margins: Mapping[int, float]) -> int:
    least = min(map(min, gaps))
    return next((shrink for shrink, margin in margins.items() if shrink * margin <= least), 1)


def _renditions(targets: Sequence[Target], presets: Sequence[Preset]) -> list[Rendition]:
    """Return pixels and format of each preset's rendition: the larger one, where it has two possible targets."""
    largest: dict[Preset, int] = {}
    for one, preset in zip(targets, presets, strict=True):
        largest[preset] = max(largest.get(preset, 0), one.size[0] * one.size[1])
    return [Rendition(pixels, preset.format) for preset, pixels in largest.items()]

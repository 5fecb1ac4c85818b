"""Pictures that cost decoders what real ones do, drawn by Pillow: the same bytes in every fresh process."""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING, Final

from PIL import ExifTags, Image, ImageChops, ImageCms, ImageDraw, ImageFont

from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.bench.cases import Case
    from thumbq.core.preset import Preset
    from thumbq.imaging import Original

_SOFT: Final = 8
"""The resolution of a lens is below that of a sensor: everything but the grain is made at an eighth of the size."""

_OCTAVES: Final = ((64, 40), (16, 30), (4, 22), (1, 14))
"""Texture: at these fractions of the size, noise of these standard deviations."""

_SATURATION: Final = 0.4
"""Photos are far less colourful than what is drawn here from gradients and random colours."""

_GRAIN: Final = 6
"""The sensor's noise. With it a JPEG of quality 90 has 0.3 bytes a pixel, as those of phones have."""

_TILE: Final = 1024
_SHAPES: Final = 60
_FRAMES: Final = 24
_WORDS: Final = ("upright", "thumbnails", "of", "the", "quick", "brown", "fox", "over", "a", "lazy", "queue", "again")


def make(_: Original, presets: Sequence[Preset], *, case: Case) -> Rendered:
    """Make the file of a case. A render function for the pool that looks at no original: the body is the file."""
    body = _file(case)
    made = RenderedImage(presets[0].name, body, case.width, case.height, presets[0].content_types[0])
    return Rendered(case.format, case.width, case.height, (made,))


def _file(case: Case) -> bytes:
    options = dict(case.options)
    match case.picture:
        case "photo":
            image = _photo(case.width, case.height)
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            options |= {"exif": _camera(), "icc_profile": profile.tobytes()}
        case "cutout":
            image = _photo(case.width, case.height)
            image.putalpha(ImageChops.invert(Image.radial_gradient("L")).resize(image.size))
        case "screenshot":
            image = _screenshot(case.width, case.height)
        case _:
            still = _photo(case.width, case.height)
            image, *others = (ImageChops.offset(still, 4 * frame, 0).quantize() for frame in range(_FRAMES))
            options |= {"save_all": True, "append_images": others, "duration": 40, "loop": 0}
    file = io.BytesIO()
    image.save(file, case.format, **options)
    return file.getvalue()


def _camera() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker of phones"
    exif[ExifTags.Base.Model] = "Phone"
    exif[ExifTags.Base.Orientation] = 1
    exif[ExifTags.Base.DateTime] = "2026:01:31 12:00:00"
    return exif


def _photo(width: int, height: int) -> Image.Image:
    """Draw gradients, texture, shapes with edges, and grain: strip by strip, as large ones would not fit twice."""
    soft = _scene(max(_SOFT, width // _SOFT), max(_SOFT, height // _SOFT))
    grain = Image.effect_noise((_TILE, _TILE), _GRAIN)
    photo = Image.new("RGB", (width, height))
    for top in range(0, height, _TILE):
        rows = min(_TILE, height - top)
        part = tuple(at * soft.height / height for at in (top, top + rows))
        strip = soft.resize((width, rows), Image.Resampling.BICUBIC, box=(0, part[0], soft.width, part[1]))
        noise = Image.new("L", strip.size)
        for left in range(0, width, _TILE):
            noise.paste(grain, (left, 0))
        photo.paste(_with_noise(strip, noise), (0, top))
    return photo


def _scene(width: int, height: int) -> Image.Image:
    slope = Image.linear_gradient("L")
    bands = slope, Image.radial_gradient("L"), slope.transpose(Image.Transpose.ROTATE_90)
    scene = Image.merge("RGB", [band.resize((width, height)) for band in bands])
    for fraction, deviation in _OCTAVES:
        coarse = Image.effect_noise((max(1, width // fraction), max(1, height // fraction)), deviation)
        scene = _with_noise(scene, coarse.resize(scene.size, Image.Resampling.BICUBIC))
    draw, random = ImageDraw.Draw(scene), Random(1)  # noqa: S311 -- a picture, and always the same
    for number in range(_SHAPES):
        x, y, radius = (
            random.randrange(width),
            random.randrange(height),
            random.randrange(2, 3 + max(width, height) // 12),
        )
        colour = tuple(random.randrange(256) for _ in range(3))
        if number % 2:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            corners = [(x + random.randint(-radius, radius), y + random.randint(-radius, radius)) for _ in range(4)]
            draw.polygon(corners, fill=colour)
    return Image.blend(scene.convert("L").convert("RGB"), scene, _SATURATION)


def _with_noise(pixels: Image.Image, noise: Image.Image) -> Image.Image:
    return ImageChops.add(pixels, Image.merge("RGB", [noise] * 3), offset=-128)


def _screenshot(width: int, height: int) -> Image.Image:
    """Draw a page full of text: flat colours, and the sharpest edges that there are."""
    page = Image.new("RGB", (width, height), (250, 250, 252))
    draw, random = ImageDraw.Draw(page), Random(1)  # noqa: S311 -- the same
    draw.rectangle((0, 0, width, height // 14), fill=(40, 60, 110))
    line = max(2, width // 30)
    font = ImageFont.load_default(size=max(1, line * 0.7))
    for top in range(height // 10, height, line):
        draw.text((line, top), " ".join(random.choices(_WORDS, k=14)), font=font, fill=(30, 30, 34))
    return page

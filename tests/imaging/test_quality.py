"""What shrinking on load, averaging first and making one size from another lose: compared before encoding."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from support.pictures import images
from support.pictures.similarity import psnr, ssim
from thumbq.core.preset import Preset
from thumbq.imaging import Limits
from thumbq.imaging.admission import ImageBudget
from thumbq.imaging.formats.registry import INPUT_FORMATS, read_header
from thumbq.imaging.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.imaging.decoded import Decoded

SIDES = (100, 320, 640, 1280)


@lru_cache(maxsize=2)
def photo(width: int = 2400, height: int = 1800) -> Image.Image:
    """Make noise with the spectrum of natural pictures (amplitude falls with frequency; Field 1987), and hard edges."""
    random = np.random.default_rng(seed=3)
    across, down = np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]
    frequency = np.sqrt(across**2 + down**2).astype(np.float32)
    frequency[0, 0] = 1
    planes = [
        np.fft.irfft2(
            np.fft.rfft2(random.standard_normal((height, width), dtype=np.float32)) / frequency, s=(height, width)
        )
        for _ in range(2)
    ]
    luma, tint = (plane / plane.std() for plane in planes)
    pixels = np.stack([128 + 45 * luma + 12 * tint, 128 + 45 * luma, 128 + 40 * luma - 14 * tint], axis=-1)
    pixels[height // 2 :, width // 3 : width // 2] += 60
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@lru_cache(maxsize=2)
def screenshot(width: int = 1920, height: int = 1080) -> Image.Image:
    """Draw a window full of text: the sharpest edges that there are."""
    image = Image.new("RGB", (width, height), (250, 250, 252))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, height // 14), fill=(40, 60, 110))
    draw.rectangle((0, height // 14, width // 5, height), fill=(235, 238, 243))
    font = ImageFont.load_default(size=height / 70)
    words = ["upright", "thumbnails", "of", "the", "quick", "brown", "fox", "jump", "over", "a", "lazy", "queue"]
    random = np.random.default_rng(seed=5)
    for y in range(height // 10, height - height // 30, height // 48):
        draw.text((width // 5 + 20, y), " ".join(random.choice(words, 14)), font=font, fill=(30, 30, 34))
        draw.text((14, y), " ".join(random.choice(words, 2)), font=font, fill=(20, 80, 160))
        draw.line((width // 5, y - 3, width, y - 3), fill=(225, 225, 230))
    return image


@lru_cache(maxsize=2)
def sheet(width: int = 2600, height: int = 1800) -> Image.Image:
    """Draw a spreadsheet: nearly all of its edges lie in one direction."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=15)
    for row, y in enumerate(range(0, height, 24)):
        draw.rectangle((0, y, width, y + 1), fill=(150, 150, 150))
        for column in range(0, width, width // 8):
            draw.text((column + 8, y + 5), f"{row * 37 + column}", font=font, fill=(30, 30, 30))
    return image


SCREENS = {"screen": (1920, 1080), "phone": (1290, 2796), "window": (1439, 901), "large window": (2400, 1600)}


@lru_cache(maxsize=4)
def original(picture: str, kind: str) -> bytes:
    match picture:
        case "photo":
            source = photo()
        case "sheet":
            source = sheet()
        case "sheet on its side":
            source = sheet().transpose(Image.Transpose.ROTATE_90)
        case _:
            source = screenshot(*SCREENS[picture])
    if kind == "png":
        return images.encoded(source, "PNG", compress_level=1)
    if kind == "webp":
        return images.encoded(source, "WEBP", quality=90, method=0)
    return images.jpeg(source, quality=92, subsampling="4:2:0", progressive=kind == "progressive")


@lru_cache(maxsize=4)
def by_the_book(picture: str, kind: str) -> dict[tuple[int, int], Image.Image]:
    """Make all sizes from the whole picture by Lanczos alone."""
    whole = Image.open(io.BytesIO(original(picture, kind))).convert("RGB")
    sizes = [(side, round(whole.height * side / whole.width)) for side in SIDES]
    return {size: whole.resize(size, Image.Resampling.LANCZOS) for size in sizes}


def decode(data: bytes, presets: Sequence[Preset]) -> Decoded:
    header = read_header(data)
    return INPUT_FORMATS[header.format].decode(data, header, presets, ImageBudget(header, Limits()))


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        *(("photo", kind) for kind in ("jpeg", "progressive")),
        ("screen", "webp"),
        ("screen", "png"),
        ("sheet", "jpeg"),
        *(
            pytest.param(*more, marks=pytest.mark.long)
            for more in (
                ("photo", "png"),
                ("photo", "webp"),
                ("phone", "webp"),
                ("sheet on its side", "webp"),
                ("screen", "jpeg"),
                ("screen", "progressive"),
                ("phone", "png"),
                ("window", "progressive"),
                ("large window", "jpeg"),
                ("sheet on its side", "progressive"),
            )
        ),
    ],
)
def test_every_size_is_as_good_as_lanczos_from_the_whole_picture(picture: str, kind: str) -> None:
    data = original(picture, kind)
    presets = [Preset(name=f"w{side}", width=side) for side in SIDES]
    for job in (presets, *([preset] for preset in presets)):
        decoded = decode(data, job)
        for target, pixels in Sizes(decoded, decoded.picture).make(decoded.targets).items():
            best = by_the_book(picture, kind)[target.size]
            assert ssim(pixels, best) >= 0.99, target
            assert psnr(pixels, best) >= 40, target


def test_smooth_pictures_are_shrunk_further_while_they_load_than_letters() -> None:
    smooth = images.jpeg(images.scene(2400, 1600), quality=92)
    assert (shrinking(smooth, 640), shrinking(original("large window", "jpeg"), 640)) == ("1/2", None)


def test_a_jpeg_that_costs_the_same_at_every_scale_is_never_decoded_twice() -> None:
    progressive = images.jpeg(images.scene(2400, 1600), quality=92, progressive=True)
    small = images.jpeg(images.scene(640, 480), quality=92)
    assert (shrinking(progressive, 640), shrinking(small, 200)) == (None, None)


@pytest.mark.parametrize("quality", [12, 80])
def test_the_first_scans_of_a_progressive_jpeg_suffice_for_small_sizes_at_any_quality(quality: int) -> None:
    data = images.jpeg(images.scene(1600, 1200), quality=quality, progressive=True)
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    for width, expected in {98: "1/2 first-scans", 80: "1/4 first-scans", 40: "1/8 dc-only", 102: "1/2"}.items():
        decoded = decode(data, [Preset(name="p", width=width)])
        assert decoded.shrink_on_load == expected
        for target, pixels in Sizes(decoded, decoded.picture).make(decoded.targets).items():
            best = whole.resize(target.size, Image.Resampling.LANCZOS)
            assert ssim(pixels, best) >= 0.99, target
            assert psnr(pixels, best) >= 40, target


def shrinking(data: bytes, width: int) -> str | None:
    return decode(data, [Preset(name="p", width=width)]).shrink_on_load

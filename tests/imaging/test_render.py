from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.pictures import images
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render
from thumbq.ports import Rendered

LIMITS = Limits()


def rendered(data: bytes, *presets: Preset) -> Rendered:
    result = render(data, presets or (THUMBNAIL,), LIMITS)
    assert isinstance(result, Rendered), result
    return result


def thumbnail(data: bytes, **recipe: Any) -> Image.Image:
    """Render one preset (PNG, so that pixels stay as they are) and return it decoded."""
    preset = Preset.model_validate({"name": "p", "width": 100, "height": 100, "format": "png"} | recipe)
    (made,) = rendered(data, preset).images
    image = Image.open(io.BytesIO(made.body))
    image.load()
    assert image.size == (made.width, made.height)
    return image


def refused(data: bytes, limits: Limits = LIMITS) -> Refusal:
    result = render(data, [THUMBNAIL], limits)
    assert isinstance(result, Refusal), result
    return result


def near(pixel: object, expected: tuple[int, ...], by: int = 3) -> bool:
    assert isinstance(pixel, tuple)
    return len(pixel) == len(expected) and all(abs(a - b) <= by for a, b in zip(pixel, expected, strict=True))


def corners(image: Image.Image) -> list[str]:
    """Name the colour of each corner, clockwise from the top left."""
    pixels = np.asarray(image.convert("RGB"), dtype=int)
    bottom, right = pixels.shape[0] - 4, pixels.shape[1] - 4
    found = [pixels[y, x] for y, x in ((3, 3), (3, right), (bottom, right), (bottom, 3))]
    return [min(images.CORNERS, key=lambda name: int(abs(images.CORNERS[name] - colour).sum())) for colour in found]


UPRIGHT = ["top-left", "top-right", "bottom-right", "bottom-left"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_without_metadata(orientation: int) -> None:
    size = (4000, 3000) if orientation == 6 else (1200, 900)
    result = rendered(images.photo_jpeg(*size, orientation))
    (made,) = result.images
    assert (result.format, result.width, result.height) == ("JPEG", *size)
    assert (made.width, made.height, made.content_type) == (100, 75, "image/jpeg")
    image = Image.open(io.BytesIO(made.body))
    assert image.size == (100, 75)
    assert corners(image) == UPRIGHT
    assert not image.getexif()
    assert b"Exif" not in made.body


def test_a_portrait_fits_the_box_with_its_height() -> None:
    assert thumbnail(images.photo_jpeg(600, 800, 6)).size == (75, 100)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_other_formats_stand_upright_too(image_format: str, orientation: int) -> None:
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    stored = images.scene(400, 300)
    stored = stored if turn is None else stored.transpose(turn)
    result = rendered(images.encoded(stored, image_format, exif=images.exif(orientation)))
    assert (result.width, result.height) == (400, 300)
    assert corners(Image.open(io.BytesIO(result.images[0].body))) == UPRIGHT


def test_a_heic_that_its_decoder_has_turned_is_not_turned_again() -> None:
    result = rendered(images.turned_heic())
    assert (result.format, result.width, result.height) == ("HEIF", 64, 48)
    assert corners(Image.open(io.BytesIO(result.images[0].body))) == UPRIGHT


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_makes_no_sense_is_none(orientation: int) -> None:
    data = images.jpeg(images.scene(400, 300), exif=images.exif(orientation))
    assert corners(thumbnail(data)) == UPRIGHT


def test_broken_exif_costs_nothing_but_itself() -> None:
    data = images.jpeg(images.scene(400, 300), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert corners(thumbnail(data)) == UPRIGHT


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        ({}, (100, 50)),
        ({"height": None}, (100, 50)),
        ({"width": None}, (200, 100)),
        ({"fit": "fill"}, (100, 100)),
        ({"width": 1000, "height": 1000}, (400, 200)),
        ({"width": 1000, "height": 1000, "enlarge": True}, (1000, 500)),
        ({"width": 1000, "height": 100, "fit": "fill"}, (1000, 100)),
        ({"width": 400, "height": 200}, (400, 200)),
    ],
)
def test_the_size_follows_the_recipe(recipe: dict[str, Any], size: tuple[int, int]) -> None:
    assert thumbnail(images.photo_jpeg(400, 200), **recipe).size == size


def test_no_side_is_ever_less_than_a_pixel_or_more_than_webp_can_have() -> None:
    line = images.encoded(Image.new("RGB", (3000, 2)), "PNG")
    assert thumbnail(line).size == (100, 1)
    assert thumbnail(line, width=None, height=100, enlarge=True, format="webp").size == (16_383, 11)


def test_presets_share_an_original_and_keep_their_order() -> None:
    presets = [Preset(name=f"w{width}", width=width) for width in (50, 300, 100)]
    made = rendered(images.photo_jpeg(1200, 900), *presets).images
    assert [(image.preset, image.width, image.height) for image in made] == [
        ("w50", 50, 38),
        ("w300", 300, 225),
        ("w100", 100, 75),
    ]


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp"])
def test_the_same_original_gives_the_same_bytes(image_format: str) -> None:
    preset = Preset.model_validate({"name": "p", "width": 80, "format": image_format})
    first, second = (rendered(images.photo_jpeg(400, 300), preset).images[0].body for _ in range(2))
    assert first == second


@pytest.mark.parametrize("width", [100, 120])
@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp"])
def test_nothing_of_an_original_but_its_pixels_gets_through(image_format: str, width: int) -> None:
    preset = Preset.model_validate({"name": "p", "width": width, "format": image_format})
    private = (b"SecretCamera", b"secret comment", b"ICC_PROFILE", b"iCCP", b"ICCP", b"Exif", b"EXIF", b"eXIf")
    for original in (
        images.jpeg(
            images.scene(120, 80),
            exif=images.exif(1),
            comment=b"secret comment",
            icc_profile=images.display_p3_profile(),
        ),
        images.animated_gif(120, 80),
        images.encoded(images.scene(120, 80), "PNG", exif=images.exif(1), icc_profile=images.display_p3_profile()),
    ):
        body = rendered(original, preset).images[0].body
        assert not [word for word in private if word in body]


def pixel_kinds() -> dict[str, bytes]:
    flat = Image.new("RGB", (300, 300), (200, 100, 50))
    clear = flat.convert("RGBA")
    clear.putalpha(0)
    palette = flat.quantize(4)
    grey = Image.new("LA", (300, 300), (90, 0))
    return {
        "P": images.encoded(palette, "PNG"),
        "P with tRNS": images.encoded(palette, "PNG", transparency=palette.getpixel((0, 0))),
        "RGB with tRNS": images.encoded(flat, "PNG", transparency=(200, 100, 50)),
        "L with tRNS": images.encoded(Image.new("L", (300, 300), 90), "PNG", transparency=90),
        "1": images.encoded(Image.new("1", (300, 300), 1), "PNG"),
        "LA": images.encoded(grey, "PNG"),
        "RGBA": images.encoded(clear, "PNG"),
        "YCbCr": images.encoded(flat.convert("YCbCr"), "TIFF"),
        "F": images.encoded(Image.new("F", (300, 300), 200.0), "TIFF"),
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("P", (200, 100, 50)),
        ("P with tRNS", (0, 0, 255)),
        ("RGB with tRNS", (0, 0, 255)),
        ("L with tRNS", (0, 0, 255)),
        ("1", (255, 255, 255)),
        ("LA", (0, 0, 255)),
        ("RGBA", (0, 0, 255)),
        ("YCbCr", (200, 100, 50)),
        ("F", (200, 200, 200)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_and_clear_ones_the_background(kind: str, expected: tuple[int, ...]) -> None:
    image = thumbnail(pixel_kinds()[kind], format="jpeg", quality=95, background="#0000ff")
    assert near(image.convert("RGB").getpixel((50, 50)), expected)


def test_hidden_colours_do_not_bleed_into_the_edge_of_what_is_seen() -> None:
    image = thumbnail(images.png_with_alpha(400, 300), format="png")
    pixels = np.asarray(image, dtype=int)
    assert image.mode == "RGBA"
    assert pixels[:, 80:, 3].max() == 0
    seen = pixels[30:60, 44:52][pixels[30:60, 44:52, 3] > 40]
    assert (seen[:, 0] - seen[:, 1]).max() < 90


def test_of_an_animation_the_first_frame_is_taken() -> None:
    assert corners(thumbnail(images.animated_gif(240, 160))) == UPRIGHT


def test_a_second_picture_after_the_first_is_no_matter() -> None:
    phone = images.photo_jpeg(400, 300) + bytes(1000) + images.small_jpeg()[:300]
    assert rendered(phone).width == 400


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_image_that_ends_too_soon_is_refused(image_format: str, share: float) -> None:
    heic = image_format == "HEIF"
    whole = images.turned_heic() if heic else images.encoded(images.scene(400, 300), image_format)
    assert refused(whole[: int(len(whole) * share)]).code == "truncated"


def test_a_truncated_jpeg_with_a_whole_preview_in_its_metadata_is_refused_as_truncated() -> None:
    camera = images.photo_jpeg(400, 300)
    preview = b"\xff\xe2" + (2 + len(images.small_jpeg())).to_bytes(2, "big") + images.small_jpeg()
    refusal = refused(camera[:2] + preview + camera[2 : len(camera) // 2])
    assert refusal == Refusal("truncated", "the JPEG ends in the middle of its data")


@pytest.mark.parametrize("data", [b"", b"just a text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0"])
def test_what_is_no_image_of_ours_is_refused_unseen(data: bytes) -> None:
    assert refused(data).code == "unsupported-format"


def test_a_damaged_header_is_refused_in_plain_words() -> None:
    whole = images.encoded(images.scene(60, 40), "BMP")
    assert refused(whole[:18] + bytes(8) + whole[26:]) == Refusal("corrupt", "the BMP's header is damaged")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_damaged_bytes_never_raise(image_format: str) -> None:
    whole = bytearray(images.encoded(images.scene(60, 40), image_format))
    random = np.random.default_rng(seed=7)
    for _ in range(40):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 8):
            damaged[at] = random.integers(0, 256)
        result = render(bytes(damaged), [THUMBNAIL], Limits(max_memory_bytes=64 << 20))
        assert isinstance(result, Rendered | Refusal)


def test_a_heic_item_whose_kind_is_no_text_is_refused_before_its_decoder_crashes() -> None:
    damaged = images.turned_heic().replace(b"Exif", b"\xffxif", 1)
    with pytest.raises(RenderRefused, match="boxes") as refusal:
        read_header(damaged)
    assert refusal.value.code == "corrupt"


@pytest.mark.parametrize("recipe", [{"quality": 90}, {"quality": 100}, {"quality": 100, "progressive": True}])
def test_noise_makes_a_long_jpeg_and_no_failure(recipe: dict[str, object]) -> None:
    noise = np.random.default_rng(seed=2).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    preset = Preset.model_validate({"name": "p", "fit": "none", **recipe})
    (made,) = rendered(images.encoded(Image.fromarray(noise), "PNG"), preset).images
    assert len(made.body) > 300 * 300


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_colours_under_full_transparency_are_not_handed_out(image_format: str) -> None:
    secret = images.png_with_alpha(120, 80)
    made = thumbnail(secret, width=None, height=None, fit="none", format=image_format, lossless=image_format == "webp")
    pixels = np.asarray(made.convert("RGBA"))
    assert (pixels[:, 60:, :3] != (255, 0, 0)).any(axis=-1).all()
    assert (pixels[:, 60:, 3] == 0).all()
    assert (pixels[:, :60, 3] == 255).all()


def test_what_nobody_sees_is_not_sharpened_into_the_edges() -> None:
    square = Image.new("RGBA", (60, 40), (200, 100, 50, 0))
    square.paste((200, 100, 50, 255), (10, 10, 50, 30))
    made = thumbnail(images.encoded(square, "PNG"), width=None, height=None, fit="none", sharpen=100)
    assert near(made.getpixel((10, 20)), (200, 100, 50, 255))

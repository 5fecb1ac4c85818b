from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from support.pictures import images
from support.pictures.similarity import psnr
from thumbq.core.preset import Preset
from thumbq.imaging import colour
from thumbq.imaging.geometry import Target, contained, stored_box, target, turned
from thumbq.imaging.resampling import lanczos
from thumbq.imaging.resize import MipLevels, Picture, reduced, upright

WHOLE = (0.0, 0.0, 1600.0, 1200.0)


def cover(upright_size: tuple[int, int], **recipe: object) -> Target:
    return target(
        upright_size, Preset.model_validate({"name": "p", "fit": "cover", "width": 100, "height": 100} | recipe)
    )


@pytest.mark.parametrize(
    ("recipe", "crop"),
    [
        ({}, (100, 0, 300, 200)),
        ({"gravity": "west"}, (0, 0, 200, 200)),
        ({"gravity": "southeast"}, (200, 0, 400, 200)),
        ({"gravity": "north"}, (100, 0, 300, 200)),
        ({"focal_point": (0.3, 0.9)}, (20, 0, 220, 200)),
        ({"focal_point": (0.95, 0.5)}, (200, 0, 400, 200)),
        ({"width": 50}, (150, 0, 250, 200)),
    ],
)
def test_cover_keeps_the_part_that_the_preset_names(recipe: dict[str, object], crop: tuple[float, ...]) -> None:
    assert cover((400, 200), **recipe).crop == pytest.approx(crop)


@pytest.mark.parametrize(
    ("upright_size", "enlarge", "size"),
    [
        ((400, 200), False, (100, 100)),
        ((80, 200), False, (80, 80)),
        ((80, 60), True, (100, 100)),
        ((1, 9), False, (1, 1)),
    ],
)
def test_cover_enlarges_only_when_asked(upright_size: tuple[int, int], *, enlarge: bool, size: tuple[int, int]) -> None:
    made = cover(upright_size, enlarge=enlarge)
    left, top, right, bottom = made.crop
    assert made.size == size
    assert (right - left) / (bottom - top) == pytest.approx(1)
    assert right <= upright_size[0]
    assert bottom <= upright_size[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_an_upright_picture_is_found_in_its_stored_pixels(orientation: int) -> None:
    stored = images.scene(64, 48)
    standing = upright(stored, orientation)
    part = (5.0, 7.0, 25.0, 21.0)
    cut = stored.crop(tuple(int(edge) for edge in stored_box(part, standing.size, orientation)))  # type: ignore[arg-type]
    assert upright(cut, orientation) == standing.crop((5, 7, 25, 21))
    assert turned(standing.size, orientation) == stored.size


def clear_scene(mode: str) -> Image.Image:
    """Make a picture in which transparency comes and goes, over colours that must not be seen."""
    image = images.scene(1600, 1200).convert("RGBA")
    waves = 128 + 127 * np.sin(np.arange(1600) / 40)[None, :] * np.cos(np.arange(1200) / 50)[:, None]
    image.putalpha(Image.fromarray(waves.astype(np.uint8)))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_bands_and_steps_are_as_good_as_lanczos_on_premultiplied_pixels(mode: str) -> None:
    image = clear_scene(mode)
    size, crop = (100, 75), WHOLE
    picture = reduced(Picture(image, (1.0, 1.0)), [(16.0, 16.0)])
    assert picture.pixels.size == (400, 300)
    made = MipLevels(picture, upright_size=image.size, orientation=1).resized(Target(size, crop))
    assert made.mode == mode
    best = image.resize(size, Image.Resampling.LANCZOS)
    assert psnr(colour.flattened(made, "#808080"), colour.flattened(best, "#808080")) >= 40


def test_a_palette_is_expanded_before_it_is_averaged() -> None:
    image = Image.new("P", (1600, 1200))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 1600, 600))
    picture = reduced(Picture(image, (1.0, 1.0)), [(16.0, 16.0)])
    made = MipLevels(picture, upright_size=image.size, orientation=1).resized(Target((100, 75), WHOLE))
    assert [made.getpixel((50, y)) for y in (10, 70)] == [(0, 0, 255), (255, 0, 0)]


def test_a_size_is_made_from_a_larger_one_but_never_from_one_that_was_enlarged() -> None:
    image = images.scene(400, 300)
    levels = MipLevels(Picture(image, (1.0, 1.0)), upright_size=image.size, orientation=1)
    whole = contained((400, 300), (400, 300)).crop
    levels.resized(Target((1600, 1200), whole))
    small = levels.resized(Target((133, 100), whole))
    assert small == lanczos(image, (133, 100), whole, reducing_gap=4)

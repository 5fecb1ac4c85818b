"""Thumbnails that serve because they show their HEIC's picture, and 24 that do not."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from conformance.phoneheics import TILE, item, turns
from fuzz import heifwriter
from support.pictures import images
from support.pictures.similarity import psnr
from thumbq.core.preset import Preset
from thumbq.imaging import Limits
from thumbq.imaging.formats.heif.agreement import places
from thumbq.imaging.render import render
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE, SMALL = 384, 192
PRESET = Preset(name="p", width=60, format="png")
SERVES = "embedded-thumbnail"


@cache
def picture() -> Image.Image:
    return images.scene(SIDE, SIDE)


@cache
def tiles() -> list[heifwriter.Item]:
    corners = [(left, top) for top in range(0, SIDE, TILE) for left in range(0, SIDE, TILE)]
    return [item(picture().crop((left, top, left + TILE, top + TILE))) for left, top in corners]


def small(image: Image.Image) -> Image.Image:
    return image.resize((SMALL, SMALL), Image.Resampling.LANCZOS)


def heic(thumbnail: Image.Image, orientation: int = 1) -> bytes:
    more, columns = turns(orientation), SIDE // TILE
    thumbnail_item = item(thumbnail, *more, refers=(b"thmb", (1,)))
    return heifwriter.heic([heifwriter.grid(columns, columns, 2, *more), *tiles(), thumbnail_item])


def made(data: bytes, preset: Preset = PRESET) -> tuple[Image.Image, str | None]:
    rendered = render(data, [preset], Limits())
    assert isinstance(rendered, Rendered), rendered
    return Image.open(io.BytesIO(rendered.images[0].body)), rendered.images[0].steps.shrink_on_load


@pytest.mark.parametrize("orientation", [1, 7])
def test_a_thumbnail_that_shows_the_picture_serves_unasked(orientation: int) -> None:
    served, how = made(heic(small(picture()), orientation))
    whole, _ = made(heic(small(ImageOps.invert(picture())), orientation))
    assert how == SERVES
    assert psnr(served.convert("RGB"), whole.convert("RGB")) > 28


def test_one_that_is_too_small_for_a_preset_does_not() -> None:
    assert made(heic(small(picture())), Preset(name="p", width=100, format="png"))[1] is None


def test_one_that_is_damaged_does_not_and_costs_no_picture() -> None:
    whole = heic(small(picture()))
    served, how = made(whole[:-3000] + bytes(3000))
    assert how is None
    assert psnr(served.convert("RGB"), made(whole)[0].convert("RGB")) > 28


@pytest.mark.parametrize(("columns", "rows"), [(6, 6), (8, 6), (6, 8), (12, 9), (11, 7), (15, 8)])
def test_three_rows_by_half_of_their_length_always_hold_a_tile_that_is_compared(columns: int, rows: int) -> None:
    longer, shorter = max(columns, rows), min(columns, rows)
    for seed in range(longer):
        found = {place if columns >= rows else place[::-1] for place in places(columns, rows, seed)}
        assert len(found) == shorter
        for top in range(shorter - 2):
            for left in range(longer // 2 + 1):
                part = {(column, row) for column in range(left, left + -(-longer // 2)) for row in range(top, top + 3)}
                assert found & part, (seed, left, top)


def changed(*box: int) -> Callable[[Image.Image], Image.Image]:
    """Make a change of a part, whose edges are given in 180ths of a side, to something else."""

    def change(true: Image.Image) -> Image.Image:
        left, top, right, bottom = (SIDE * edge // 180 for edge in box)
        image = true.copy()
        image.paste(ImageOps.invert(true.crop((left, top, right, bottom))), (left, top))
        return image

    return change


def of_another_hue(true: Image.Image) -> Image.Image:
    hue, *rest = true.convert("HSV").split()
    return Image.merge("HSV", [hue.point(lambda level: (level + 40) % 256), *rest]).convert("RGB")


OTHERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "turned": lambda true: true.transpose(Image.Transpose.ROTATE_180),
    "on its side": lambda true: true.transpose(Image.Transpose.ROTATE_90),
    "mirrored": lambda true: true.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "noise": lambda true: Image.effect_noise(true.size, 60).convert("RGB"),
    "white": lambda true: Image.new("RGB", true.size, "white"),
    "its mean": lambda true: true.resize((1, 1), Image.Resampling.BOX).resize(true.size),
    "blurred": lambda true: true.filter(ImageFilter.GaussianBlur(40)),
    "a crop in the middle": lambda true: true.crop((48, 48, 336, 336)),
    "a crop at a corner": lambda true: true.crop((0, 0, 330, 330)),
    "with a border": lambda true: ImageOps.expand(true, 40, "black"),
    "moved": lambda true: ImageChops.offset(true, 40, 0),
    "inverted": ImageOps.invert,
    "grey": lambda true: true.convert("L").convert("RGB"),
    "lighter": lambda true: ImageEnhance.Brightness(true).enhance(1.15),
    "more contrast": lambda true: ImageEnhance.Contrast(true).enhance(1.4),
    "another hue": of_another_hue,
    "red and blue swapped": lambda true: Image.merge("RGB", true.split()[::-1]),
    "another left third": changed(0, 0, 60, 180),
    "another middle third": changed(60, 0, 120, 180),
    "another right third": changed(120, 0, 180, 180),
    "another upper third": changed(0, 0, 180, 60),
    "another middle band": changed(0, 60, 180, 120),
    "another lower third": changed(0, 120, 180, 180),
    "another centre": changed(38, 38, 142, 142),
}
SHORT = ("mirrored", "a crop at a corner", "another hue", "another middle band")


@pytest.mark.parametrize(
    "name", [*SHORT, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS if name not in SHORT)]
)
def test_a_thumbnail_that_shows_something_else_never_does(name: str) -> None:
    served, how = made(heic(small(OTHERS[name](picture()))))
    assert how is None
    assert psnr(served.convert("RGB"), picture().resize((60, 60), Image.Resampling.LANCZOS)) > 28

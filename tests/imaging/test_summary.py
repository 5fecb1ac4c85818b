"""Dominant colours against their definition by brute force, and ThumbHashes against the published algorithm."""

from __future__ import annotations

import base64
import time
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from support.pictures import images, published_thumbhash
from thumbq.imaging.summary import dominant_color, summarize
from thumbq.imaging.thumbhash import thumbhash

if TYPE_CHECKING:
    from support.figures import AtMost

SIZES = [(16, 12), (12, 16), (16, 16), (16, 3), (5, 14), (16, 15)]
WHITE, RED, BLUE = (255, 255, 255), (200, 30, 30), (20, 40, 160)


def picture(width: int, height: int, *, seed: int = 1, alpha: bool = False) -> Image.Image:
    """Draw what has waves of every length: random colours, with holes for ``alpha``."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 4)).astype(np.uint8)
    pixels[..., 3] = np.where(pixels[..., 3] < 80, 0, 255)
    drawn = Image.fromarray(pixels)
    return drawn if alpha else drawn.convert("RGB")


def small_scene(width: int, height: int) -> Image.Image:
    return images.scene(width * 4, height * 4).resize((width, height), Image.Resampling.LANCZOS)


def published(pixels: Image.Image) -> bytes:
    return published_thumbhash.encoded(np.asarray(pixels.convert("RGBA")))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_of_up_to_16_pixels_has_exactly_the_published_hash(size: tuple[int, int], *, alpha: bool) -> None:
    for seed in range(5):
        pixels = picture(*size, seed=seed, alpha=alpha)
        assert thumbhash(pixels) == published(pixels)


@pytest.mark.parametrize("size", [(100, 75), (75, 100), (100, 100), (100, 12), (9, 100), (400, 300), (17, 16)])
def test_the_hash_of_a_larger_picture_looks_like_that_of_all_its_pixels(size: tuple[int, int]) -> None:
    pixels = small_scene(*size)
    ours, theirs = published_thumbhash.decoded(thumbhash(pixels)), published_thumbhash.decoded(published(pixels))
    assert ours.shape == theirs.shape
    assert np.sqrt(np.square(ours - theirs).mean()) < 5
    assert np.abs(ours - theirs).max() < 20


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_hash_shows_the_picture_upright_in_its_colours(mode: str) -> None:
    pixels = Image.new("RGB", (90, 60), BLUE)
    pixels.paste(RED, (0, 0, 45, 30))
    pixels.paste(WHITE, (45, 0, 90, 30))
    pixels = pixels.convert(mode)
    shown = published_thumbhash.decoded(base64.b64decode(summarize(pixels).thumbhash))
    height, width = shown.shape[:2]
    assert 1.3 < width / height < 1.7
    original = np.asarray(pixels.convert("RGBA"), dtype=float)
    assert np.abs(shown.mean((0, 1)) - original.mean((0, 1))).max() < 8
    for x, y in product((0.2, 0.8), repeat=2):
        here = shown[int(y * height), int(x * width)]
        assert np.abs(here - original[int(y * 60), int(x * 90)]).max() < 60
    assert shown[..., 3].min() == 255


def test_what_is_transparent_stays_so_in_the_hash_whatever_colour_is_hidden_there() -> None:
    pixels = Image.new("RGBA", (80, 40), (*RED, 255))
    pixels.paste((0, 255, 0, 0), (40, 0, 80, 40))
    shown = published_thumbhash.decoded(thumbhash(pixels))
    assert shown[:, :14, 3].mean() > 230
    assert shown[:, -14:, 3].mean() < 25
    assert np.abs(shown[:, :10, :3] - RED).max() < 12


def test_a_flat_picture_has_no_noise_in_its_hash() -> None:
    hashed = thumbhash(Image.new("RGB", (100, 75), RED))
    assert hashed[5:] == bytes(len(hashed) - 5)
    assert np.abs(published_thumbhash.decoded(hashed)[..., :3] - RED).max() < 5


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (400, 1), (2, 2), (97, 3)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("level", [0, 255])
def test_no_picture_is_too_small_or_too_narrow(size: tuple[int, int], mode: str, level: int) -> None:
    found = summarize(Image.new(mode, size, tuple([level] * len(mode)) if len(mode) > 1 else level))
    assert 17 <= len(base64.b64decode(found.thumbhash)) <= 25
    seen = level == 255 or not mode.endswith("A")
    assert found.dominant_color == (("#ffffff" if level else "#000000") if seen else None)


def test_the_dominant_color_is_one_that_is_there_and_not_the_mean() -> None:
    pixels = Image.new("RGB", (100, 75), RED)
    pixels.paste(BLUE, (0, 0, 100, 34))
    assert dominant_color(pixels) == "#c81e1e"


def test_the_shades_of_a_gradient_count_together_against_a_flat_patch() -> None:
    shades = np.linspace(200, 230, 48).astype(np.uint8)
    sky = Image.fromarray(np.tile(np.stack([shades // 2, shades, shades + 20], axis=-1)[:, None], (1, 48, 1)))
    sky.paste(BLUE, (0, 0, 48, 6))
    found = dominant_color(sky)
    assert found is not None
    red, green, blue = bytes.fromhex(found[1:])
    assert abs(green - 2 * red) < 3
    assert abs(blue - green - 20) < 3
    assert 205 < green < 228


def test_transparent_pixels_do_not_count_and_half_transparent_ones_count_half() -> None:
    pixels = Image.new("RGBA", (40, 40), (*WHITE, 0))
    pixels.paste((*BLUE, 110), (0, 0, 40, 20))
    pixels.paste((*RED, 255), (0, 20, 40, 30))
    assert dominant_color(pixels) == "#c81e1e"
    pixels.paste((*BLUE, 150), (0, 0, 40, 20))
    assert dominant_color(pixels) == "#1428a0"


def test_of_equally_large_colors_the_lightest_is_taken_however_they_lie() -> None:
    pixels = Image.new("RGB", (40, 40), BLUE)
    pixels.paste(WHITE, (0, 0, 20, 40))
    assert dominant_color(pixels) == dominant_color(pixels.transpose(Image.Transpose.ROTATE_180)) == "#ffffff"


@pytest.mark.parametrize("seed", range(4))
def test_the_dominant_color_is_as_it_is_defined(seed: int) -> None:
    random = np.random.default_rng(seed)
    clusters = random.integers(0, 256, (6, 3))[random.integers(0, 6, (48, 40))]
    pixels = np.clip(clusters + random.normal(0, 12, clusters.shape), 0, 255).astype(np.uint8)
    flat = pixels.reshape(-1, 3).astype(int)
    members = {
        corner: flat[((flat >= corner) & (flat < np.add(corner, 32))).all(axis=1)]
        for corner in product(range(0, 256, 16), repeat=3)
    }
    fullest = max(members, key=lambda corner: (len(members[corner]), corner))
    expected = "#" + "".join(f"{round(level):02x}" for level in members[fullest].mean(axis=0))
    assert dominant_color(Image.fromarray(pixels)) == expected


@pytest.mark.measured
def test_a_summary_costs_a_few_milliseconds_at_the_most(at_most: AtMost) -> None:
    pixels = small_scene(100, 75)
    costs = []
    for _ in range(10):
        started = time.process_time()
        summarize(pixels)
        costs.append(time.process_time() - started)
    at_most("seconds of CPU (0.0004 on a machine of 2024)", min(costs), 0.003)

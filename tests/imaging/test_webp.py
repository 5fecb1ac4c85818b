"""Stills go to libwebp without Pillow, which decodes what it does not take."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from support.pictures import images, profiles
from support.pictures.similarity import psnr
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.webp import library
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from thumbq.ports import Rendered

SIZE = (403, 301)
PRESET = Preset(name="p", width=20, format="png")


def webp(mode: str = "RGB", **options: object) -> bytes:
    picture = images.scene(*SIZE).copy()
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(SIZE))
    return images.encoded(picture, "WEBP", method=0, **{"quality": 95, **options})


def rendered(data: bytes, side: int) -> Rendered:
    made = render(data, [Preset(name="p", width=side, height=side, format="png")], Limits())
    assert not isinstance(made, Refusal), made
    return made


def picture(made: Rendered) -> Image.Image:
    return Image.open(io.BytesIO(made.images[0].body))


@pytest.mark.parametrize(
    ("mode", "lossless", "side", "shrunk"),
    [
        ("RGB", False, 20, "1/4"),
        ("RGB", True, 40, "1/2"),
        ("RGB", False, 60, None),
        ("RGBA", False, 20, None),
        ("RGBA", True, 300, None),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_still_is_what_pillow_makes_of_it(
    mode: str, side: int, shrunk: str | None, orientation: int, monkeypatch: pytest.MonkeyPatch, *, lossless: bool
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    profile = profiles.rgb_profile(profiles.DISPLAY_P3, 2.2) if mode == "RGB" else b""
    data = webp(mode, lossless=lossless, exif=exif.tobytes(), icc_profile=profile)
    made = rendered(data, side)
    monkeypatch.setattr(library, "_LIBRARY", None)
    by_pillow = rendered(data, side)
    steps, usual = made.images[0].steps, by_pillow.images[0].steps
    assert (steps.orientation, steps.profile) == (usual.orientation, usual.profile)
    assert (steps.shrink_on_load, usual.shrink_on_load) == (shrunk, None)
    one, other = picture(made), picture(by_pillow)
    assert (one.mode, one.size) == (other.mode, other.size)
    assert psnr(one, other) >= (40 if shrunk else 99)


def test_an_animation_and_damage_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    animation = images.encoded(images.scene(*SIZE), "WEBP", save_all=True, append_images=[Image.new("RGB", SIZE)])
    damaged = bytearray(webp())
    damaged[-3000:-2000] = bytes(1000)
    cut = damaged[: len(damaged) // 2]
    cut[4:8] = (len(cut) - 8).to_bytes(4, "little")
    cut[16:20] = (len(cut) - 20).to_bytes(4, "little")
    files = [animation, bytes(damaged), bytes(cut)]
    found = [render(file, [PRESET], Limits()) for file in files]
    monkeypatch.setattr(library, "_LIBRARY", None)
    usual = [render(file, [PRESET], Limits()) for file in files]
    assert [type(one) for one in found] == [type(one) for one in usual]
    assert isinstance(found[2], Refusal)
    assert found[2] == usual[2]


def test_the_library_is_the_one_that_pillow_brings() -> None:
    assert library.decoded(webp(), (100, 75), "RGB", scaled=True) is not None

from __future__ import annotations

import io

import pytest
from PIL import Image

from support.pictures import images
from support.pictures.clean_aperture import clap, framed, shown
from support.pictures.similarity import psnr
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.isomedia.aperture import aperture
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render
from thumbq.ports import Rendered

WHOLE = Preset(name="whole", fit="none", format="png")
SMALL = Preset(name="small", width=32, height=32, fit="cover", gravity="southeast", format="png")


def rendered(data: bytes, preset: Preset = WHOLE) -> Image.Image:
    made = render(data, [preset], Limits())
    assert isinstance(made, Rendered), made
    if preset is WHOLE:
        assert (made.width, made.height) == (made.images[0].width, made.images[0].height)
    return Image.open(io.BytesIO(made.images[0].body))


@pytest.mark.parametrize("image_format", ["avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_cut_away_is_not_shown_however_the_picture_is_turned(image_format: str, orientation: int) -> None:
    upright = images.scene(96, 64)
    data = framed(image_format, upright, orientation)
    whole = rendered(data)
    assert whole.size == upright.size
    assert psnr(whole.convert("RGB"), upright) > 30
    corner = upright.resize((32, 32), Image.Resampling.LANCZOS, box=(32, 0, 96, 64))
    assert psnr(rendered(data, SMALL).convert("RGB"), corner) > 28


@pytest.mark.parametrize("image_format", ["avif", "heic"])
def test_the_alpha_is_cut_with_its_picture(image_format: str) -> None:
    upright = images.scene(96, 64).convert("RGBA")
    upright.putalpha(Image.linear_gradient("L").resize(upright.size))
    whole = rendered(framed(image_format, upright))
    assert whole.size == upright.size
    assert psnr(whole.getchannel("A"), upright.getchannel("A")) > 35


def test_a_phones_heic_with_an_aperture_stands_upright() -> None:
    assert rendered(images.turned_heic()).size == (64, 48)


@pytest.mark.parametrize(
    "box",
    [clap(0, 64, 0, 0), clap(64, 64, 0, 0, over=0), clap(64, 64, 900, 0), clap(64, 64, 0, 0)[:39]],
    ids=["no width", "no denominator", "elsewhere", "cut"],
)
@pytest.mark.parametrize("image_format", ["avif", "heic"])
def test_an_aperture_that_makes_no_sense_is_refused(image_format: str, box: bytes) -> None:
    box = len(box).to_bytes(4, "big") + box[4:]
    image = images.scene(96, 64)
    made = render(shown(images.avif(image) if image_format == "avif" else images.heic(image), box), [WHOLE], Limits())
    assert isinstance(made, Refusal)
    assert made.code == "corrupt"


def test_an_aperture_larger_than_the_picture_cuts_nothing() -> None:
    assert rendered(shown(images.avif(images.scene(96, 64)), clap(97, 65, 0, 0))).size == (96, 64)


def test_the_word_alone_is_no_aperture() -> None:
    data = images.avif(images.scene(96, 64)).replace(b"\0\0\0\0pict", b"clappict", 1)
    assert b"clap" in data
    assert aperture(data, read_header(data), turns=False) is None

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import pillow_heif
import pytest
from PIL import Image

from support.pictures import images
from support.pictures.similarity import psnr
from thumbq.core.preset import Preset
from thumbq.imaging import Limits
from thumbq.imaging.render import render
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def heic(orientation: int = 1, *, thumbnails: tuple[int, ...] = (160,)) -> bytes:
    """Make a HEIC as phones do: turned by its header, with a thumbnail."""
    upright = images.scene(400, 300)
    file = io.BytesIO()
    pillow_heif.from_pillow(upright).save(file, quality=90, exif=images.exif(orientation), thumbnails=list(thumbnails))
    return file.getvalue()


def rendered(data: bytes, *presets: Preset) -> tuple[Image.Image, str | None]:
    made = render(data, presets, Limits())
    assert isinstance(made, Rendered), made
    image = made.images[0]
    return Image.open(io.BytesIO(image.body)), image.steps.shrink_on_load


def preset(width: int = 60, *, embedded: bool = True) -> Preset:
    return Preset(name=f"w{width}{embedded}".lower(), width=width, format="png", embedded_thumbnail=embedded)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_preset_may_let_the_thumbnail_of_a_heic_serve(orientation: int) -> None:
    data = heic(orientation)
    own, word = rendered(data, preset())
    whole, no_word = rendered(data, preset(embedded=False))
    assert (word, no_word) == ("embedded-thumbnail", None)
    assert own.size == whole.size
    assert psnr(own.convert("RGB"), whole.convert("RGB")) > 28


@pytest.mark.parametrize(
    ("make", "presets"),
    [
        (lambda: heic(thumbnails=()), [preset()]),
        (lambda: heic(thumbnails=(100,)), [preset()]),
        (heic, [preset(81)]),
        (heic, [preset(), preset(50, embedded=False)]),
        (images.turned_heic, [preset(30)]),
    ],
    ids=[
        "none there",
        "too small a thumbnail",
        "too large a preset",
        "another preset wants the image",
        "none in a small one",
    ],
)
def test_else_the_image_itself_is_decoded(make: Callable[[], bytes], presets: list[Preset]) -> None:
    assert rendered(make(), *presets)[1] is None

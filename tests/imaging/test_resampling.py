from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from support.pictures import images
from support.pictures.similarity import psnr
from thumbq.imaging import resampling
from thumbq.imaging.resampling import lanczos

WHOLE, PART = (0.0, 0.0, 400.0, 300.0), (10.25, 20.5, 391.75, 270.0)


def scene(mode: str) -> Image.Image:
    return images.scene(400, 300).convert("RGBA").convert(mode.upper() if mode[-1] == "a" else mode).convert(mode)


@pytest.mark.parametrize("mode", ["L", "La", "RGB", "RGBa", "CMYK", "F"])
@pytest.mark.parametrize("size", [(133, 100), (40, 30), (390, 293), (600, 450), (20, 300), (300, 20)])
def test_every_kind_of_pixel_becomes_what_pillow_makes_of_it(mode: str, size: tuple[int, int]) -> None:
    image = scene(mode)
    for box in (WHOLE, PART):
        made, again = (lanczos(image, size, box, reducing_gap=4) for _ in range(2))
        best = image.resize(size, Image.Resampling.LANCZOS, box=box)
        bands = zip(made.split(), best.split(), strict=True)
        assert min(psnr(one.convert("L"), other.convert("L")) for one, other in bands) > 45
        assert (made.mode, made.tobytes()) == (image.mode, again.tobytes())


def test_what_the_library_would_need_and_does_not_get_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(resampling, "_allocate", asked.append)
    with pytest.raises(MemoryError):
        lanczos(scene("RGB"), (200, 150), WHOLE, reducing_gap=4)
    assert asked[0] >= 4 * 400 * 150


@pytest.mark.skipif(sys.platform != "linux", reason="no other system lists threads")
def test_no_thread_is_started() -> None:
    before = threads()
    lanczos(Image.new("RGB", (1600, 1200)), (800, 600), (0, 0, 1600, 1200), reducing_gap=4)
    assert threads() == before


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))

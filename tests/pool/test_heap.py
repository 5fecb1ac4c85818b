from __future__ import annotations

import gc
import sys

import pytest
from PIL import Image, ImageCms

from support.patience import until
from support.pictures import images
from support.pictures.profiles import cmyk_profile
from support.processes.marked_pool import ONE_PROCESS, render
from thumbq.core import malloc
from thumbq.core.preset import THUMBNAIL
from thumbq.imaging import Limits, heap
from thumbq.imaging.colour import to_srgb
from thumbq.imaging.render import render as render_it
from thumbq.pool.procfs import resident_bytes
from thumbq.pool.renderpool import RenderPool
from thumbq.ports import Rendered

MIB = 1 << 20


def test_profiles_with_tables_are_not_kept_for_long() -> None:
    """The library makes up to 3 MiB from each; the sandbox is no place to run out of memory."""
    pixels = Image.new("CMYK", (8, 8))
    profile = cmyk_profile(lambda inks: (255 - inks[0], 255 - inks[1], 255 - inks[2]))
    before = transforms()
    for number in range(12):
        assert to_srgb(pixels, profile[:84] + bytes([number]) + profile[85:])[1] == "embedded"
    assert transforms() - before <= 2


def transforms() -> int:
    gc.collect()
    return sum(isinstance(found, ImageCms.ImageCmsTransform) for found in gc.get_objects())


@pytest.mark.measured
@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell nobody's memory, and have another heap")
async def test_what_a_large_image_took_is_kept_for_the_next_one_and_given_back_when_none_comes() -> None:
    photo, large = images.photo_jpeg(400, 300), images.encoded(Image.new("RGBA", (4000, 3000)), "PNG", compress_level=1)

    async with RenderPool(ONE_PROCESS) as pool:

        def resident() -> int:
            return (resident_bytes(pool.pids()[0]) or 0) // MIB

        await render(pool, photo)
        before = resident()
        await render(pool, large)
        assert resident() > before + 40
        await until(lambda: resident() <= before + 32, within_s=5, what=lambda: f"{before} MiB, not {resident()}")
        await render(pool, photo)


def test_free_memory_is_given_back_before_an_image_that_needs_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    gave_back = list[int]()
    monkeypatch.setattr(heap, "_free_bytes", lambda: 100 * MIB)
    monkeypatch.setattr(malloc, "trim", lambda: gave_back.append(1))
    heap.make_room(400 * MIB, 512 * MIB)
    assert not gave_back
    heap.make_room(413 * MIB, 512 * MIB)
    assert gave_back
    gave_back.clear()
    assert isinstance(render_it(images.photo_jpeg(400, 300), [THUMBNAIL], Limits(max_memory_bytes=20 * MIB)), Rendered)
    assert gave_back


def test_little_free_memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_free_bytes", lambda: 32 * MIB)
    monkeypatch.setattr(malloc, "trim", lambda: pytest.fail("gave back"))
    heap.make_room(512 * MIB, 512 * MIB)
    heap.give_back()
    assert not heap.has_much()

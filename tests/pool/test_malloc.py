from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageCms

from support.pictures import images
from support.pictures.profiles import cmyk_profile
from support.processes.marked_pool import ONE_PROCESS, render
from thumbq.imaging.colour import to_srgb
from thumbq.pool.procfs import resident_bytes
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.figures import AtMost

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
async def test_what_a_large_image_took_is_given_back_before_the_next_one(at_most: AtMost) -> None:
    photo, large = images.photo_jpeg(400, 300), images.encoded(Image.new("RGBA", (4000, 3000)), "PNG", compress_level=1)

    async def after(pool: RenderPool, originals: Sequence[bytes]) -> int:
        for original in originals:
            await render(pool, original)
        return resident_bytes(pool.pids()[0]) or 0

    async with RenderPool(ONE_PROCESS) as pool:
        before = await after(pool, [photo])
        at_most("MiB more than before", (await after(pool, [large, photo]) - before) / MIB, 32)

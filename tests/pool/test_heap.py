from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import images
from thumbq.core.preset import THUMBNAIL
from thumbq.pool import RenderPool
from thumbq.pool.procfs import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell nobody's memory, and have another heap")
async def test_what_a_large_image_took_is_given_back_before_the_next_one() -> None:
    photo, large = images.photo_jpeg(400, 300), images.encoded(Image.new("RGBA", (4000, 3000)), "PNG", compress_level=1)

    async def after(pool: RenderPool, originals: Sequence[bytes]) -> int:
        for original in originals:
            with pool.source() as source:
                source.write(original)
                await pool.render(source, [THUMBNAIL])
        return resident_bytes(pool.children()[0]) or 0

    async with RenderPool(processes=1, memory_limit_bytes=512 * MIB, timeout_s=20) as pool:
        before = await after(pool, [photo])
        assert await after(pool, [large, photo]) < before + 32 * MIB

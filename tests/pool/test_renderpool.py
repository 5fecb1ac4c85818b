from __future__ import annotations

import anyio
import pytest
from PIL import Image

from support.pictures import images
from support.processes.marked_pool import ONE_PROCESS, marked_pool, render
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import READ_WHOLE_BYTES
from thumbq.pool.renderpool import RenderPool


@pytest.mark.usefixtures("way")
async def test_a_photo_becomes_its_renditions_in_the_order_asked_for() -> None:
    small, large = THUMBNAIL, Preset(name="large", width=400, format="png")
    async with RenderPool(ONE_PROCESS) as pool:
        rendered = await render(pool, images.photo_jpeg(4000, 3000, 6), small, large)
        assert (rendered.format, rendered.width, rendered.height) == ("JPEG", 4000, 3000)
        assert [(image.preset, image.width, image.height) for image in rendered.images] == [
            ("thumbnail", 100, 75),
            ("large", 400, 300),
        ]
        assert rendered.images[0].body.startswith(b"\xff\xd8")
        assert rendered.images[1].body.startswith(b"\x89PNG")
        for refused, code in ((b"just text", "unsupported-format"), (images.truncated_jpeg(), "truncated")):
            with pytest.raises(RenderRefused) as refusal:
                await render(pool, refused)
            assert refusal.value.code == code


async def test_a_source_without_bytes_is_refused_like_any_other_that_is_no_image() -> None:
    async with RenderPool(ONE_PROCESS) as pool:
        with pytest.raises(RenderRefused) as refusal:
            await render(pool, b"")
    assert refusal.value.code == "unsupported-format"


async def test_an_original_that_is_too_large_to_be_copied_renders_too() -> None:
    bitmap = images.encoded(Image.new("RGB", (2400, 2400), "teal"), "BMP")
    assert len(bitmap) > READ_WHOLE_BYTES
    async with RenderPool(ONE_PROCESS) as pool:
        rendered = await render(pool, bitmap)
    assert (rendered.format, rendered.width, rendered.height) == ("BMP", 2400, 2400)


async def test_a_source_may_be_written_in_many_pieces() -> None:
    async with marked_pool(processes=2) as pool:
        with pool.source() as source:
            for piece in (b"refuse", bytearray(b" in-"), memoryview(b"pieces")):
                source.write(piece)
            async with pool.acquire() as process:
                with pytest.raises(RenderRefused) as refusal:
                    await process.render(source, [THUMBNAIL])
        assert refusal.value.code == "in-pieces"


async def test_a_refusal_keeps_the_process() -> None:
    async with marked_pool(processes=2) as pool:
        before = pool.pids()
        with pytest.raises(RenderRefused):
            await render(pool, b"refuse corrupt")
        assert pool.pids() == before


async def test_waiting_renders_are_served_in_their_order() -> None:
    order: list[int] = []

    async def one(pool: RenderPool, number: int) -> None:
        await render(pool, b"ok")
        order.append(number)

    async with marked_pool() as pool, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, pool, number)
    assert order == list(range(10))

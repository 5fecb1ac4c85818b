"""Small files that would cost a lot, through the real pool: refused before they cost anything, or ended at a wall."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import pytest
from PIL import Image

from fuzz import fileparts, health
from support.pictures import images
from support.pictures.bombs import bombs
from support.processes.marked_pool import MIB, ONE_PROCESS, render, whole
from thumbq.core.formats import ImageFormat
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import RenderKilled, RenderRefused
from thumbq.imaging import Limits
from thumbq.pool import RenderPool

BLIND = Limits(
    max_memory_bytes=1 << 50, max_cpu_s=1e9, max_scans=1 << 30, max_frames=1 << 30, max_animation_pixels=1 << 50
)
"""An admission that refuses nothing."""

WALL = 128 * MIB


ALL_FRAMES = Preset(name="animation", width=50, format="webp", animated=True)


async def refusal(pool: RenderPool, data: bytes) -> RenderRefused:
    with pytest.raises(RenderRefused) as refused:
        await render(pool, data, THUMBNAIL, ALL_FRAMES)
    return refused.value


@pytest.mark.parametrize("name", bombs())
async def test_a_bomb_is_refused_before_it_costs_anything(name: str) -> None:
    data, code = bombs()[name]
    async with RenderPool(ONE_PROCESS) as pool:
        (pid,) = pool.pids()
        await render(pool, images.small_jpeg())
        health.reset_peak(pid)
        before_s = health.cpu_s(pid)
        refused = await refusal(pool, data)
        assert refused.code == code
        assert pool.pids() == (pid,)
        assert health.cpu_s(pid) - before_s < 0.05
        peak = health.peak_bytes(pid)
        assert peak is not None
        assert peak < 100 * MIB


async def test_what_needs_too_much_memory_after_all_ends_at_the_wall() -> None:
    data = images.encoded(Image.new("L", (12_000, 12_000)), "PNG", compress_level=1)
    async with RenderPool(replace(ONE_PROCESS, memory_limit_bytes=WALL, limits=BLIND)) as pool:
        peaks: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, pool.pids()[0], peaks)
            refused = await refusal(pool, data)
            tasks.cancel_scope.cancel()
        assert refused.code == "out-of-memory"
        assert max(peaks) < WALL + 64 * MIB
        await whole(pool, 1)


async def _watch(pid: int, peaks: list[int]) -> None:
    while (peak := health.peak_bytes(pid)) is not None:
        peaks.append(peak)
        await anyio.sleep(0.005)


async def test_what_takes_too_long_after_all_ends_at_the_deadline() -> None:
    async with RenderPool(replace(ONE_PROCESS, timeout_s=0.5, limits=BLIND)) as pool:
        begun = time.monotonic()
        with pytest.raises(RenderKilled) as killed:
            await render(pool, _with_scans(500), Preset(name="same", fit="none", format="png"))
        assert killed.value.code == "decode-timeout"
        assert time.monotonic() - begun < 2
        await whole(pool, 1)


def _with_scans(count: int) -> bytes:
    """Make a progressive JPEG whose last scan comes again and again; each takes a pass over all of its pixels."""
    file = images.jpeg(Image.new("RGB", (2000, 1500)), progressive=True)
    parts = fileparts.parts_of(ImageFormat.JPEG, file)
    last = max(at for at, part in enumerate(parts) if part.kind == b"\xff\xda")
    parts[last:last] = parts[last : last + 2] * count
    return fileparts.whole(ImageFormat.JPEG, parts)

"""Small files that would cost a lot, through the real pool: refused before they cost anything, or ended at a wall."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from fuzz import fileparts, health
from support.pictures import images
from support.pictures.bombs import bombs
from support.processes.marked_pool import MIB, ONE_PROCESS, render, whole
from thumbq.core.formats import ImageFormat
from thumbq.core.preset import Preset
from thumbq.errors import RenderKilled, RenderRefused
from thumbq.imaging import Limits
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from support.figures import AtMost

BLIND = Limits(
    max_memory_bytes=1 << 50, max_cpu_s=1e9, max_scans=1 << 30, max_frames=1 << 30, max_animation_pixels=1 << 50
)
"""An admission that refuses nothing."""

WALL = 128 * MIB


ALL_FRAMES = Preset(name="animation", width=50, format="webp", animated=True)


async def refusal(pool: RenderPool, data: bytes) -> RenderRefused:
    with pytest.raises(RenderRefused) as refused:
        await render(pool, data, ALL_FRAMES)
    return refused.value


async def test_bombs_are_refused_and_the_process_that_reads_them_lives_on() -> None:
    codes: dict[str, str] = {}
    async with RenderPool(ONE_PROCESS) as pool:
        before = pool.pids()
        for name, (data, _) in bombs().items():
            codes[name] = (await refusal(pool, data)).code
        assert pool.pids() == before
    assert codes == {name: code for name, (_, code) in bombs().items()}


@pytest.mark.measured
async def test_a_render_process_refuses_bombs_before_they_cost_anything(
    at_most: AtMost,
) -> None:
    async with RenderPool(ONE_PROCESS) as pool:
        (pid,) = pool.pids()
        await render(pool, images.small_jpeg())
        health.reset_peak(pid)
        idle, cpu_s = health.peak_bytes(pid), list[float]()
        for data, _ in bombs().values():
            before_s = health.cpu_s(pid)
            await refusal(pool, data)
            cpu_s.append(health.cpu_s(pid) - before_s)
        peak = health.peak_bytes(pid)
        assert idle is not None
        assert peak is not None
        at_most("seconds of CPU for the dearest bomb", max(cpu_s), 0.05)
        at_most("MiB more at the peak", (peak - idle) / MIB, 20)


async def test_what_needs_too_much_memory_after_all_ends_at_the_wall() -> None:
    async with blind_pool() as pool:
        assert (await refusal(pool, too_much())).code == "out-of-memory"
        await whole(pool, 1)


@pytest.mark.measured
async def test_nothing_gets_past_the_wall(at_most: AtMost) -> None:
    async with blind_pool() as pool:
        peaks: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, pool.pids()[0], peaks)
            await refusal(pool, too_much())
            tasks.cancel_scope.cancel()
        at_most("MiB at the peak", max(peaks) / MIB, (WALL + 64 * MIB) / MIB)


def blind_pool() -> RenderPool:
    return RenderPool(replace(ONE_PROCESS, memory_limit_bytes=WALL, limits=BLIND))


def too_much() -> bytes:
    return images.encoded(Image.new("L", (12_000, 12_000)), "PNG", compress_level=1)


async def _watch(pid: int, peaks: list[int]) -> None:
    while (peak := health.peak_bytes(pid)) is not None:
        peaks.append(peak)
        await anyio.sleep(0.005)


async def test_what_takes_too_long_after_all_ends_at_the_deadline() -> None:
    async with RenderPool(replace(ONE_PROCESS, timeout_s=0.5, limits=BLIND)) as pool:
        with pytest.raises(RenderKilled) as killed:
            await render(pool, _with_scans(500), Preset(name="same", fit="none", format="png"))
        assert killed.value.code == "decode-timeout"
        await whole(pool, 1)


def _with_scans(count: int) -> bytes:
    """Make a progressive JPEG whose last scan comes again and again; each takes a pass over all of its pixels."""
    file = images.jpeg(Image.new("RGB", (2000, 1500)), progressive=True)
    parts = fileparts.parts_of(ImageFormat.JPEG, file)
    last = max(at for at, part in enumerate(parts) if part.kind == b"\xff\xda")
    parts[last:last] = parts[last : last + 2] * count
    return fileparts.whole(ImageFormat.JPEG, parts)

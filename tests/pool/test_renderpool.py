from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

import images
import marked_render
from replica import alive, until
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import RenderKilled, RenderRefused
from thumbq.pool import RenderPool

if TYPE_CHECKING:
    from thumbq.ports import Rendered

MIB = 1 << 20


async def render(pool: RenderPool, data: bytes, *presets: Preset) -> Rendered:
    with pool.source() as source:
        source.write(data)
        return await pool.render(source, presets or [THUMBNAIL])


async def pid_of_render(pool: RenderPool) -> int:
    return int((await render(pool, b"ok")).images[0].body)


def marked_pool(*, processes: int = 1, timeout_s: float = 20, memory_limit_bytes: int = 512 * MIB) -> RenderPool:
    return RenderPool(
        processes=processes,
        memory_limit_bytes=memory_limit_bytes,
        timeout_s=timeout_s,
        render=marked_render.render,
    )


async def test_a_photo_becomes_its_renditions_in_the_order_asked_for() -> None:
    small, large = THUMBNAIL, Preset(name="large", width=400, format="png")
    async with RenderPool(processes=1, memory_limit_bytes=512 * MIB, timeout_s=20) as pool:
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
    async with RenderPool(processes=1, memory_limit_bytes=512 * MIB, timeout_s=20) as pool:
        with pool.source() as source, pytest.raises(RenderRefused) as refusal:
            await pool.render(source, [THUMBNAIL])
    assert refusal.value.code == "unsupported-format"


async def test_a_source_may_be_written_in_many_pieces(pool: RenderPool) -> None:
    with pool.source() as source:
        for piece in (b"refuse", bytearray(b" in-"), memoryview(b"pieces")):
            source.write(piece)
        with pytest.raises(RenderRefused) as refusal:
            await pool.render(source, [THUMBNAIL])
    assert refusal.value.code == "in-pieces"


async def test_a_refusal_keeps_the_child(pool: RenderPool) -> None:
    before = pool.children()
    with pytest.raises(RenderRefused):
        await render(pool, b"refuse corrupt")
    assert pool.children() == before


@pytest.mark.parametrize(
    ("mark", "says"),
    [("signal SIGSEGV", "SIGSEGV"), ("signal SIGKILL", "SIGKILL"), ("exit 3", "exit code 3"), ("raise", "oneanother")],
)
async def test_a_crash_costs_its_own_job_only_and_the_child_is_replaced(pool: RenderPool, mark: str, says: str) -> None:
    first, second = pool.children()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pid_of_render, pool)
        with pytest.raises(RenderKilled) as killed:
            await render(pool, mark.encode())
    assert killed.value.code == "render-crashed"
    assert says in killed.value.text
    now = pool.children()
    assert len(now) == 2
    assert len({first, second} & set(now)) == 1
    assert await pid_of_render(pool) in now


async def test_a_cpu_limit_counts_as_a_time_out(pool: RenderPool) -> None:
    with pytest.raises(RenderKilled) as killed:
        await render(pool, b"signal SIGXCPU")
    assert killed.value.code == "render-timeout"


@pytest.mark.parametrize("mark", [b"hold", b"spin"])
async def test_a_render_that_takes_too_long_is_killed_and_replaced(mark: bytes) -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        (before,) = pool.children()
        with anyio.fail_after(2), pytest.raises(RenderKilled) as killed:
            await render(pool, mark)
        assert killed.value.code == "render-timeout"
        assert not alive(before)
        assert await pid_of_render(pool) in pool.children()


async def test_a_stopped_child_is_killed_at_its_deadline() -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        os.kill(pool.children()[0], signal.SIGSTOP)
        with anyio.fail_after(2), pytest.raises(RenderKilled):
            await render(pool, b"ok")
        await pid_of_render(pool)


@pytest.mark.parametrize("mark", [b"hold", b"spin"])
async def test_cancelling_a_render_kills_its_child_at_once_and_no_other(mark: bytes) -> None:
    async with marked_pool(processes=2) as pool:
        before = pool.children()
        with anyio.fail_after(1):
            with anyio.move_on_after(0.1) as scope:
                await render(pool, mark)
            assert scope.cancelled_caught
        assert len(pool.children()) == 2
        assert len([pid for pid in before if alive(pid)]) == 1


async def test_cancelling_the_task_of_a_render_kills_its_child(pool: RenderPool) -> None:
    before = set(pool.children())
    task = asyncio.create_task(render(pool, b"hold"))
    await until(lambda: pool._turns.value == 1, within_s=1, what="a running render")
    task.cancel()
    with anyio.fail_after(1), pytest.raises(asyncio.CancelledError):
        await task
    assert len(before & set(pool.children())) == 1


async def test_cancelling_a_render_that_waits_for_a_child_kills_nothing(pool: RenderPool) -> None:
    before = pool.children()
    async with anyio.create_task_group() as tasks:
        for _ in before:
            tasks.start_soon(render, pool, b"hold")
        await until(lambda: pool._turns.value == 0, within_s=1, what="two running renders")
        with anyio.move_on_after(0.05):
            await render(pool, b"ok")
        assert pool.children() == before
        tasks.cancel_scope.cancel()
    assert await pid_of_render(pool)


async def test_waiting_renders_are_served_in_their_order() -> None:
    order: list[int] = []

    async def one(pool: RenderPool, number: int) -> None:
        await render(pool, b"ok")
        order.append(number)

    async with marked_pool() as pool, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, pool, number)
    assert order == list(range(10))


async def test_a_render_that_eats_memory_is_refused_and_the_next_one_runs(pool: RenderPool) -> None:
    with pytest.raises(RenderRefused) as refusal:
        await render(pool, b"eat")
    assert refusal.value.code == "out-of-memory"
    assert await pid_of_render(pool) in pool.children()


async def test_a_child_that_died_without_a_job_costs_no_job(pool: RenderPool) -> None:
    before = pool.children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in before), within_s=2, what="the end of the children")
    for _ in range(4):
        assert await pid_of_render(pool) not in before


async def test_children_ignore_the_signals_that_are_meant_for_the_service(pool: RenderPool) -> None:
    before = pool.children()
    for pid in before:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert {await pid_of_render(pool) for _ in range(4)} <= set(before)
    assert pool.children() == before


async def test_no_descriptor_and_no_process_is_left_behind_on_any_path() -> None:
    async def every_path() -> list[int]:
        async with marked_pool(processes=2, timeout_s=0.2) as pool:
            seen = [*pool.children()]
            for mark in (b"ok", b"refuse x", b"raise", b"signal SIGSEGV", b"eat", b"hold"):
                with anyio.move_on_after(5):
                    try:
                        await render(pool, mark)
                    except (RenderKilled, RenderRefused):
                        seen += pool.children()
            with anyio.move_on_after(0.05):
                await render(pool, b"hold")
            return [*seen, *pool.children()]

    await every_path()
    gc.collect()
    before = open_files()
    pids = await every_path()
    gc.collect()
    assert open_files() == before
    assert not any(alive(pid) for pid in pids)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("stopped", [False, True])
async def test_leaving_the_pool_is_quick_whatever_the_children_do(*, stopped: bool) -> None:
    with anyio.fail_after(2):
        async with marked_pool(processes=2) as pool, anyio.create_task_group() as tasks:
            children = pool.children()
            tasks.start_soon(render, pool, b"spin")
            await until(lambda: pool._turns.value == 1, within_s=1, what="a running render")
            if stopped:
                for pid in children:
                    os.kill(pid, signal.SIGSTOP)
            tasks.cancel_scope.cancel()
    assert not any(alive(pid) for pid in children)

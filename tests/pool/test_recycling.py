"""Recycling: a fresh process takes the place of one that is due, and no render waits for it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import anyio
import pytest
from structlog.testing import capture_logs

from support.patience import until, within
from support.processes import marked_render
from support.processes.marked_pool import (
    MIB,
    ONE_PROCESS,
    Begun,
    children_of,
    gone,
    marked_pool,
    no_process_starts,
    parent,
    pid_of_render,
    render,
    stopped,
    whole,
)
from thumbq.errors import RenderRefused
from thumbq.pool import Recycling, processhandle
from thumbq.pool.pooledprocess import PooledProcess
from thumbq.pool.processhandle import ProcessHandle
from thumbq.pool.renderpool import RenderPool


async def replaced(pool: RenderPool, *pids: int) -> None:
    await until(lambda: not set(pids) & set(pool.pids()), within_s=5, what=f"successors of {pids}")
    await gone(*pids)


async def test_a_process_that_has_done_its_jobs_gives_way_to_another_one() -> None:
    async with marked_pool(recycle_jobs=3) as pool:
        (first,) = pool.pids()
        assert [await pid_of_render(pool) for _ in range(2)] == [first, first]
        assert pool.pids() == (first,)
        await pid_of_render(pool)
        await replaced(pool, first)
        assert await pid_of_render(pool) in await whole(pool, 1)


@pytest.mark.parametrize("mark", [b"leak 40", b"leak 40 refuse"])
async def test_a_process_whose_memory_has_grown_gives_way_to_another_one(mark: bytes) -> None:
    async with marked_pool(recycle_growth_bytes=60 * MIB) as pool:
        (first,) = pool.pids()
        await render(pool, b"leak 100")  # what the first job leaves behind is no growth
        # After the second it seems to have grown, and after the next one, which gives back what is free, it has.
        for another in (mark, mark, b"ok"):
            assert pool.pids() == (first,)
            with suppress(RenderRefused):
                await render(pool, another)
        await replaced(pool, first)
        await whole(pool, 1)


async def test_unless_told_otherwise_a_process_may_grow_by_64_mib() -> None:
    """200 mixed jobs leave less than 30 MiB; an image at the limit of admission takes 512 MiB on top of the growth."""
    async with RenderPool(ONE_PROCESS, render=marked_render.render) as pool:
        (first,) = pool.pids()
        for mark in (b"ok", b"leak 40"):
            await render(pool, mark)
        assert pool.pids() == (first,)
        for mark in (b"leak 40", b"ok"):
            await render(pool, mark)
        await replaced(pool, first)


def test_free_memory_is_no_growth_and_is_looked_through_once_in_20_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = ProcessHandle(marked_render.render, memory_limit_bytes=0, sandbox="off")
    process, used, looks = PooledProcess(handle), 50, list[bool]()
    monkeypatch.setattr(handle, "resident_bytes", lambda: used + (0 if looks[-1] else 100))

    def job() -> bool:
        looks.append(process.gives_back())
        process.count_job()
        return process.is_due(Recycling(jobs=1000, growth_bytes=64))

    assert not any(job() for _ in range(100))
    assert [number for number, look in enumerate(looks) if look] == [0, 2, 22, 42, 62, 82]
    used += 65
    assert [job() for _ in range(2)] == [False, True]


async def test_a_process_that_is_due_works_on_while_its_successor_starts() -> None:
    async with marked_pool(recycle_jobs=1) as pool:
        (first,) = pool.pids()
        with stopped(parent(first)):
            for _ in range(10):
                assert await pid_of_render(pool) == first
                assert pool.pids() == (first,)
        await replaced(pool, first)


async def test_a_successor_waits_for_the_end_of_the_job_that_runs() -> None:
    async with marked_pool(recycle_jobs=1) as pool, anyio.create_task_group() as tasks:
        (first,), begun = pool.pids(), Begun()
        server = parent(first)
        with stopped(server):
            await pid_of_render(pool)
            os.kill(first, signal.SIGSTOP)
            tasks.start_soon(lambda: render(pool, b"ok", begun=begun))
            await begun.reaches(1)
        await until(lambda: any(one.leaving for one in pool._supervisor._processes), within_s=5, what="a successor")
        assert pool.pids() == (first,)
        assert len(children_of(server)) == 2
        os.kill(first, signal.SIGCONT)
        assert await pid_of_render(pool) != first
        await gone(first)


async def test_processes_are_recycled_one_at_a_time_however_many_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    start, lock, now, most = ProcessHandle.start, threading.Lock(), 0, 0

    def counted(process: ProcessHandle) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        start(process)
        with lock:
            now -= 1

    async with marked_pool(processes=3, recycle_jobs=1) as pool:
        monkeypatch.setattr(ProcessHandle, "start", counted)
        first = pool.pids()
        pids: set[int] = set()

        async def some() -> None:
            for _ in range(40):
                pids.add(await pid_of_render(pool))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(some)
        assert most == 1
        assert len(pids - set(first)) >= 1
        await whole(pool, 3)


async def test_a_process_that_is_due_that_dies_is_replaced_by_one_and_not_by_two() -> None:
    async with marked_pool(recycle_jobs=1) as pool:
        (first,) = pool.pids()
        server = parent(first)
        with stopped(server):
            await pid_of_render(pool)
            os.kill(first, signal.SIGKILL)
        await replaced(pool, first)
        assert children_of(server) == set(await whole(pool, 1))


async def test_a_process_that_is_due_goes_on_when_no_other_one_can_be_started() -> None:
    async with marked_pool(recycle_jobs=1) as pool:
        (first,) = pool.pids()
        with no_process_starts():
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(pid_of_render, pool)
            await until(lambda: pool._supervisor._outgoing is None, within_s=5, what="the end of the attempts to start")
            assert pool.pids() == (first,)
        await pid_of_render(pool)
        await replaced(pool, first)


@pytest.mark.parametrize("after_s", [0, 0.001, 0.005, 0.01, 0.02, 0.04, 0.08])
async def test_leaving_the_pool_while_a_process_is_being_replaced_leaves_no_process(after_s: float) -> None:
    with within(5):
        async with marked_pool(recycle_jobs=1) as pool:
            server = parent(pool.pids()[0])
            await pid_of_render(pool)
            await anyio.sleep(after_s)
    assert children_of(server) == set()


async def test_leaving_the_pool_ends_a_start_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = ProcessHandle._spawn

    def hang(process: ProcessHandle) -> object:
        checked = spawn(process)
        os.kill(process.pid, signal.SIGSTOP)
        return checked

    monkeypatch.setattr(processhandle, "_START_TIMEOUT_S", 3600)
    with within(10):
        async with marked_pool(recycle_jobs=1) as pool:
            server = parent(pool.pids()[0])
            monkeypatch.setattr(ProcessHandle, "_spawn", hang)
            await pid_of_render(pool)
            await until(lambda: len(children_of(server)) == 2, within_s=5, what="a successor")
    assert children_of(server) == set()


async def test_a_successor_that_is_ready_when_the_pool_is_left_replaces_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, ready = threading.Event(), threading.Event(), threading.Event()
    start = ProcessHandle.start

    def start_when_told(process: ProcessHandle) -> None:
        begun.set()
        go.wait(5)
        start(process)
        ready.set()

    with capture_logs() as logs:
        async with marked_pool() as pool:
            (killed,) = pool.pids()
            monkeypatch.setattr(ProcessHandle, "start", start_when_told)
            os.kill(killed, signal.SIGKILL)
            await until(begun.is_set, within_s=5, what="a start")
            go.set()
            assert ready.wait(5)  # the loop stands still, so that leaving comes before the news
    assert logs == []

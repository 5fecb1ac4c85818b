"""What the end of a process costs: its own job, and nobody else's."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from support.patience import until, within
from support.processes.marked_pool import (
    MIB,
    Begun,
    gone,
    marked_pool,
    no_process_starts,
    parent,
    pid_of_render,
    render,
    stopped,
    whole,
)
from support.replicas.replica import alive
from thumbq.errors import RenderKilled, RenderRefused, RenderUnavailable
from thumbq.pool.processhandle import ProcessHandle


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("signal SIGSEGV", "killed by SIGSEGV"),
        ("signal SIGKILL", "killed by SIGKILL, perhaps by the kernel because memory ran out"),
        ("exit 3", "ended with exit code 3"),
        ("raise", "oneanother"),
    ],
)
async def test_a_crash_costs_its_own_job_only_and_the_process_is_replaced(mark: str, says: str) -> None:
    async with marked_pool(processes=2) as pool:
        before = pool.pids()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pid_of_render, pool)
            with pytest.raises(RenderKilled) as killed:
                await render(pool, mark.encode())
        assert killed.value.code == "render-crashed"
        assert killed.value.text.endswith(says)
        now = await whole(pool, 2)
        assert len(set(before) & set(now)) == 1
        assert await pid_of_render(pool) in now


@pytest.mark.usefixtures("way")
async def test_nobody_else_is_there_to_read_the_exit_code_of_a_process() -> None:
    async with marked_pool() as pool:
        assert {process.pid for process in multiprocessing.active_children()}.isdisjoint(pool.pids())


async def test_a_cpu_limit_counts_as_a_time_out() -> None:
    async with marked_pool() as pool:
        with pytest.raises(RenderKilled) as killed:
            await render(pool, b"signal SIGXCPU")
        assert killed.value.code == "decode-timeout"
        await whole(pool, 1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("mark", "used"), [(b"hold", "of which 0.0 s on a CPU"), (b"spin", "s on a CPU")])
async def test_a_render_that_takes_too_long_is_killed_and_replaced(mark: bytes, used: str) -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        (before,) = pool.pids()
        with within(2), pytest.raises(RenderKilled) as killed:
            await render(pool, mark)
        assert killed.value.code == "decode-timeout"
        assert killed.value.text.startswith("the render took longer than 0.3 s")
        assert killed.value.text.endswith(used)
        await gone(before)
        assert await pid_of_render(pool) in await whole(pool, 1)


@pytest.mark.usefixtures("way")
async def test_a_stopped_process_is_killed_at_its_deadline() -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        os.kill(pool.pids()[0], signal.SIGSTOP)
        with within(2), pytest.raises(RenderKilled):
            await render(pool, b"ok")
        await pid_of_render(pool)


async def test_a_time_out_that_is_noticed_late_is_the_hosts_and_not_the_images() -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        begun = Begun()

        async def stand_still() -> None:
            await begun.reaches(1)
            time.sleep(2)  # noqa: ASYNC251 - as a machine that sleeps: nothing goes on, and the clock does

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stand_still)
            with pytest.raises(RenderUnavailable, match="stood still"):
                await render(pool, b"hold", begun=begun)
        await pid_of_render(pool)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("mark", [b"hold", b"spin"])
async def test_cancelling_a_render_kills_its_process_at_once_and_no_other(mark: bytes) -> None:
    async with marked_pool(processes=2) as pool:
        before, begun = pool.pids(), Begun()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: render(pool, mark, begun=begun))
            await begun.reaches(1)
            tasks.cancel_scope.cancel()
        await until(lambda: sum(map(alive, before)) == 1, within_s=1, what="the end of one process")
        assert len(set(await whole(pool, 2)) & set(before)) == 1


async def test_cancelling_the_task_of_a_render_kills_its_process() -> None:
    async with marked_pool(processes=2) as pool:
        before, begun = set(pool.pids()), Begun()
        task = asyncio.create_task(render(pool, b"hold", begun=begun))
        await begun.reaches(1)
        task.cancel()
        with within(1), pytest.raises(asyncio.CancelledError):
            await task
        assert len(before & set(await whole(pool, 2))) == 1


async def test_cancelling_a_render_that_waits_for_a_process_kills_nothing() -> None:
    async with marked_pool(processes=2) as pool:
        before, begun = pool.pids(), Begun()
        async with anyio.create_task_group() as tasks:
            for _ in before:
                tasks.start_soon(lambda: render(pool, b"hold", begun=begun))
            await begun.reaches(2)
            with anyio.move_on_after(0.05):
                await render(pool, b"ok", begun=begun)
            assert begun.count == 2
            assert pool.pids() == before
            tasks.cancel_scope.cancel()
        assert await pid_of_render(pool)


@pytest.mark.parametrize("ends", ["raises", "is cancelled"])
async def test_who_leaves_without_a_render_leaves_the_process_untouched(ends: str) -> None:
    async def begin() -> None:
        if ends == "raises":
            raise OSError("as asked")
        await anyio.sleep_forever()

    async with marked_pool() as pool:
        before = pool.pids()
        if ends == "raises":
            with pytest.raises(OSError, match="as asked"):
                await render(pool, b"hold", begun=begin)
        else:
            with anyio.move_on_after(0.05):
                await render(pool, b"hold", begun=begin)
        assert await pid_of_render(pool) in before


async def test_a_render_cancelled_before_it_begins_costs_nothing() -> None:
    async with marked_pool() as pool:
        before = pool.pids()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await render(pool, b"ok")
        task = asyncio.create_task(render(pool, b"ok"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pid_of_render(pool) in before


async def test_cancelling_at_any_tick_leaves_the_pool_whole() -> None:
    async with marked_pool(processes=2) as pool, anyio.create_task_group() as others:
        for _ in range(40):
            others.start_soon(pid_of_render, pool)
        for ticks in range(60):
            task = asyncio.create_task(render(pool, b"ok"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        for _ in range(4):
            assert await pid_of_render(pool)
        await whole(pool, 2)


async def test_a_killed_render_says_so_while_its_process_is_still_being_replaced() -> None:
    async with marked_pool(timeout_s=0.3) as pool:
        (before,) = pool.pids()
        with stopped(parent(before)):
            with within(1), pytest.raises(RenderKilled):
                await render(pool, b"hold")
            assert pool.pids() == ()
        assert await pid_of_render(pool) != before


async def test_a_render_waits_for_a_process_that_is_being_replaced_and_does_not_fail() -> None:
    async with marked_pool() as pool:
        with pytest.raises(RenderKilled):
            await render(pool, b"raise")
        assert pool.pids() == ()
        assert await pid_of_render(pool) in pool.pids()


@pytest.mark.usefixtures("way")
async def test_a_render_that_eats_memory_is_refused_and_the_next_one_runs() -> None:
    async with marked_pool(memory_limit_bytes=160 * MIB) as pool:
        (before,) = pool.pids()
        with pytest.raises(RenderRefused) as refusal:
            await render(pool, b"eat")
        assert refusal.value.code == "out-of-memory"
        assert await pid_of_render(pool) != before


async def test_processes_killed_while_idle_are_replaced_before_anybody_asks() -> None:
    async with marked_pool(processes=2) as pool:
        before = set(pool.pids())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: before.isdisjoint(pool.pids()), within_s=2, what="new processes")
        await whole(pool, 2)


async def test_a_process_killed_in_the_moment_in_which_it_is_handed_out_costs_no_job() -> None:
    async with marked_pool(processes=2) as pool:
        for _ in range(20):
            for pid in pool.pids():
                # One that was killed in the last round may not have been missed yet.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await gone(pid)
            assert await pid_of_render(pool)


async def test_a_process_that_dies_before_it_gets_the_job_costs_another_wait_and_not_the_job() -> None:
    async with marked_pool() as pool:
        (first,) = pool.pids()

        async def end() -> None:
            os.kill(first, signal.SIGKILL)
            await gone(first)

        [image] = (await render(pool, b"ok", begun=end)).images
        assert int(image.body) != first


async def test_without_any_process_that_starts_a_render_fails_and_says_why_and_the_next_one_tries_again() -> None:
    async with marked_pool() as pool:
        with no_process_starts():
            os.kill(pool.pids()[0], signal.SIGKILL)
            await until(lambda: not pool.pids(), within_s=2, what="the end of the process")
            for _ in range(2):
                begun = Begun()
                with pytest.raises(RenderUnavailable, match="no process to render in: no memory, as asked"):
                    await render(pool, b"ok", begun=begun)
                assert begun.count == 0
        assert await pid_of_render(pool) in await whole(pool, 1)


async def test_while_one_process_cannot_be_started_the_other_one_serves_everybody() -> None:
    async with marked_pool(processes=2) as pool:
        one, other = pool.pids()
        with no_process_starts():
            os.kill(one, signal.SIGKILL)
            await until(lambda: len(pool.pids()) == 1, within_s=2, what="the end of a process")
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(pid_of_render, pool)
            assert pool.pids() == (other,)
        await pid_of_render(pool)
        await whole(pool, 2)


async def test_processes_ignore_the_signals_that_are_meant_for_the_service() -> None:
    async with marked_pool(processes=2) as pool:
        before = pool.pids()
        for pid in before:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        assert {await pid_of_render(pool) for _ in range(4)} <= set(before)
        assert pool.pids() == before


@pytest.mark.usefixtures("way")
async def test_no_descriptor_and_no_process_is_left_behind_on_any_path() -> None:
    async def every_path() -> list[int]:
        async with marked_pool(processes=2, timeout_s=0.2, memory_limit_bytes=160 * MIB) as pool:
            seen = [*pool.pids()]
            for mark in (b"ok", b"refuse x", b"raise", b"signal SIGSEGV", b"eat", b"hold"):
                with anyio.move_on_after(5):
                    try:
                        await render(pool, mark)
                    except (RenderKilled, RenderRefused):
                        seen += await whole(pool, 2)
            with anyio.move_on_after(0.05):
                await render(pool, b"hold")
            return [*seen, *await whole(pool, 2)]

    await every_path()
    gc.collect()
    before = open_files()
    pids = await every_path()
    gc.collect()
    assert open_files() == before
    assert not any(alive(pid) for pid in pids)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("halted", [False, True])
async def test_leaving_the_pool_is_quick_whatever_the_processes_do(*, halted: bool) -> None:
    with within(2):
        async with marked_pool(processes=2) as pool, anyio.create_task_group() as tasks:
            processes, begun = pool.pids(), Begun()
            tasks.start_soon(lambda: render(pool, b"spin", begun=begun))
            await begun.reaches(1)
            if halted:
                for pid in processes:
                    os.kill(pid, signal.SIGSTOP)
            tasks.cancel_scope.cancel()
    assert not any(alive(pid) for pid in processes)


async def test_an_error_of_those_who_use_the_pool_leaves_it_as_it_is() -> None:
    processes: list[int] = []

    async def use() -> None:
        async with marked_pool() as pool:
            processes.extend(pool.pids())
            raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"):
        await use()
    assert not alive(processes[0])


@pytest.mark.parametrize("scoped", [False, True])
async def test_cancelling_those_who_use_the_pool_closes_it_and_goes_on_outwards(*, scoped: bool) -> None:
    processes: list[int] = []

    async def use() -> None:
        async with marked_pool() as pool:
            processes.extend(pool.pids())
            await anyio.sleep_forever()

    if scoped:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await until(lambda: processes, within_s=5, what="a pool")
            tasks.cancel_scope.cancel()
    else:
        task = asyncio.create_task(use())
        await until(lambda: processes, within_s=5, what="a pool")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not alive(processes[0])


async def test_a_bug_in_the_pool_itself_ends_those_who_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: ProcessHandle) -> None:
        raise ZeroDivisionError

    processes: list[int] = []

    async def use() -> None:
        async with marked_pool(processes=2) as pool:
            processes.extend(pool.pids())
            monkeypatch.setattr(ProcessHandle, "start", start)
            os.kill(processes[0], signal.SIGKILL)
            await anyio.sleep_forever()

    with within(5), pytest.raises(ExceptionGroup) as group:
        await use()
    assert [type(error) for error in group.value.exceptions] == [ZeroDivisionError]
    await gone(*processes)

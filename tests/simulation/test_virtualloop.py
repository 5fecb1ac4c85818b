"""The loop that everything else here stands on."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from simulation.virtualloop import PROCESS, Process, Stuck, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(max_turns=10_000, max_time_s=1e6)
    yield loop
    loop.close()


def test_time_jumps_to_the_next_timer_and_nothing_real_is_waited_for(loop: VirtualLoop) -> None:
    async def sleep() -> float:
        with anyio.move_on_after(3600):
            await anyio.sleep_forever()
        return anyio.current_time()

    started = time.monotonic()
    assert loop.run_until_complete(sleep()) == 3600
    assert time.monotonic() - started < 1


def test_a_deadlock_is_an_error_that_names_who_waits(loop: VirtualLoop) -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(waits_for_ever())
    with pytest.raises(Stuck, match="waits_for_ever"):
        loop.run_until_complete(task)
    _end(loop, task)


def test_a_run_without_an_end_is_an_error(loop: VirtualLoop) -> None:
    async def spins() -> None:
        while True:  # noqa: ASYNC110 - this is what it is about
            await asyncio.sleep(0)

    task = loop.create_task(spins())
    with pytest.raises(Stuck, match="no end"):
        loop.run_until_complete(task)
    _end(loop, task)


def test_a_suspended_process_finds_its_timers_later_by_that_and_the_world_goes_on(loop: VirtualLoop) -> None:
    process, woken = Process("one"), list[tuple[float, float]]()

    async def sleeper() -> None:
        await asyncio.sleep(10)
        woken.append((loop.now, loop.time()))

    async def world() -> None:
        task = _in_process(loop, process, sleeper())
        await asyncio.sleep(4)
        loop.freeze(process)
        await asyncio.sleep(100)
        loop.thaw(process, suspended_s=100)
        await task

    loop.run_until_complete(world())
    [(world_time, own_time)] = woken
    assert world_time == pytest.approx(110)
    assert own_time == pytest.approx(10)


def test_a_frozen_process_runs_nothing_until_it_is_thawed(loop: VirtualLoop) -> None:
    process, woken = Process("one"), list[float]()

    async def sleeper() -> None:
        await asyncio.sleep(10)
        woken.append(loop.now)

    async def world() -> None:
        task = _in_process(loop, process, sleeper())
        await asyncio.sleep(4)
        loop.freeze(process)
        await asyncio.sleep(100)
        assert woken == []
        loop.thaw(process)
        await task

    loop.run_until_complete(world())
    assert woken == [104]


def test_nothing_of_a_dead_process_runs_not_even_its_clean_up(loop: VirtualLoop) -> None:
    process, done = Process("one"), list[str]()

    async def victim() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            done.append("cleaned up")

    async def world() -> asyncio.Task[None]:
        task = _in_process(loop, process, victim())
        await asyncio.sleep(4)
        process.dead = True
        task.cancel()
        await asyncio.sleep(100)
        return task

    task = loop.run_until_complete(world())
    assert (done, task.done()) == ([], False)
    process.dead = False
    _end(loop, task)


def _in_process(loop: VirtualLoop, process: Process, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)
    return loop.create_task(coro, context=context)


def _end(loop: VirtualLoop, task: asyncio.Task[None]) -> None:
    loop.turns = 0
    task.cancel()
    loop.run_until_complete(asyncio.wait([task], timeout=1))

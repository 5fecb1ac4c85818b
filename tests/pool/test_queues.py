"""Renders of several queues that want the same render process."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio
import pytest

from support.patience import until
from support.processes import marked_render
from support.processes.marked_pool import ONE_PROCESS
from thumbq.core.fairness import BEHIND_ALL
from thumbq.core.preset import THUMBNAIL
from thumbq.pool.renderpool import RenderPool


def pool_of(queues: dict[str, int | None]) -> RenderPool:
    return RenderPool(replace(ONE_PROCESS, queues=queues), render=marked_render.render)


class Queueing:
    """Renders that wait for the one process, in the order in which they came, while another one has it."""

    def __init__(self, pool: RenderPool) -> None:
        self._pool = pool
        self._free = anyio.Event()
        self.begun: list[str] = []

    async def render(self, queue: str, *, held: bool = False) -> None:
        with self._pool.source() as source:
            source.write(b"ok")
            async with self._pool.acquire(queue) as process:
                self.begun.append(queue)
                if held:
                    await self._free.wait()
                await process.render(source, [THUMBNAIL])

    async def order(self, *queues: str, cancelled: int | None = None) -> list[str]:
        """Return the order in which these get the process; the one in the place ``cancelled`` gives up before."""
        first = asyncio.ensure_future(self.render("first", held=True))
        await until(lambda: self.begun, within_s=5, what="a render that has the process")
        waiting = []
        for queue in queues:
            waiting.append(asyncio.ensure_future(self.render(queue)))
            await anyio.wait_all_tasks_blocked()
        if cancelled is not None:
            waiting[cancelled].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting.pop(cancelled)
        self._free.set()
        await asyncio.gather(first, *waiting)
        return self.begun[1:]


async def test_a_process_that_is_free_again_goes_to_the_queue_that_comes_first() -> None:
    async with pool_of({"high": None, "low": None}) as pool:
        order = await Queueing(pool).order("low", "low", "high", "low", "high")
    assert order == ["high", "high", "low", "low", "low"]


async def test_with_weights_a_queue_gets_its_share_of_the_turns() -> None:
    async with pool_of({"high": 3, "low": 1}) as pool:
        order = await Queueing(pool).order(*["low"] * 3, *["high"] * 6)
    assert order[:4].count("low") == order[4:8].count("low") == 1


async def test_a_render_that_gives_up_waiting_takes_no_turn_along() -> None:
    async with pool_of({"high": None, "low": None}) as pool:
        order = await Queueing(pool).order("low", "high", "low", cancelled=1)
        assert order == ["low", "low"]


@pytest.mark.parametrize("weights", [(None, None), (5, 1)])
async def test_a_try_waits_for_all_jobs_and_a_job_for_no_more_than_one_try(weights: tuple[int | None, ...]) -> None:
    async with pool_of(dict(zip(("high", "low"), weights, strict=True))) as pool:
        order = await Queueing(pool).order(BEHIND_ALL, "low", "high", BEHIND_ALL, "low")
    assert order[3:] == [BEHIND_ALL, BEHIND_ALL]

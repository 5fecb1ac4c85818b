"""What bounds the work of a replica."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.consuming import Delegate, consuming, record, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until, within
from thumbq.core.job import ObjectRef
from thumbq.jobs.bytebudget import ByteBudget

if TYPE_CHECKING:
    from thumbq.ports import Backend

MIB = 1 << 20


async def test_bytes_in_flight_stay_within_the_budget_and_a_large_one_gets_its_turn() -> None:
    budget, held, most, order = ByteBudget(10), 0, 0, list[int]()

    async def use(size: int) -> None:
        nonlocal held, most
        async with budget.reserve(size):
            order.append(size)
            held += size
            most = max(most, held)
            await anyio.lowlevel.checkpoint()
            held -= size

    async with anyio.create_task_group() as tasks:
        for size in (4, 4, 9, 1, 1):
            tasks.start_soon(use, size)
    assert most <= 10
    assert order == [4, 4, 9, 1, 1], "first come, first served: small ones do not overtake for ever"


async def test_a_replica_takes_no_more_than_it_can_begin_until_its_first_job_has_ended(backend: Backend) -> None:
    renderer = FakeRenderer(0.5, 3600.0, 3600.0, 3600.0, 3600.0)
    for number in range(6):
        await upload(backend, f"uploads/{number}")
    async with consuming(backend, renderer, concurrency=4, processes=2) as consumer:
        await until(lambda: renderer.renders == 2, within_s=5, what="two renders")
        assert (await backend.queue.counts()).visible == 4
        await until(lambda: renderer.renders == 5, within_s=5, what="four more in flight after the first has ended")
        consumer.abort(within_s=1)


async def test_more_than_the_whole_budget_goes_alone() -> None:
    budget = ByteBudget(10)
    async with budget.reserve(1000):
        with anyio.move_on_after(0.01) as waited:
            async with budget.reserve(1):
                pytest.fail("there was room beside it")
        assert waited.cancelled_caught
    async with budget.reserve(10):
        pass


async def test_who_is_cancelled_while_waiting_takes_nothing_along() -> None:
    budget = ByteBudget(10)
    async with budget.reserve(6):
        with anyio.move_on_after(0):
            async with budget.reserve(5):
                pytest.fail("there was no room")
        async with budget.reserve(4):
            pass
    async with budget.reserve(10):
        pass


async def test_who_is_cancelled_in_the_moment_of_the_grant_gives_it_back() -> None:
    budget = ByteBudget(10)

    async def wait_for_five() -> None:
        async with budget.reserve(5):
            pytest.fail("it was cancelled")

    waiter = asyncio.ensure_future(wait_for_five())
    async with budget.reserve(10):
        await anyio.wait_all_tasks_blocked()
    waiter.cancel()  # in the same turn of the loop as the grant
    with pytest.raises(asyncio.CancelledError):
        await waiter
    with within(1):
        async with budget.reserve(10):
            pass


async def test_a_large_original_is_fetched_within_the_budget(backend: Backend) -> None:
    class Watching(Delegate):
        limits: list[int] = []  # noqa: RUF012 - one test, one list

        async def fetch(self, ref: ObjectRef, sink: Any, *, max_bytes: int) -> Any:
            self.limits.append(max_bytes)
            return await self.target.fetch(ref, sink, max_bytes=max_bytes)

    size = 17 * MIB
    await backend.store.put(ObjectRef(backend.bucket, "uploads/large"), bytes(size), content_type="image/jpeg")
    await backend.queue.send("uploads/large")
    store = Watching(backend.store)
    async with consuming(replace(backend, store=store), FakeRenderer()):
        await settled(backend)
    assert store.limits == [16 * MIB, size]
    found = await record(backend, "uploads/large")
    assert found is not None
    assert (found.status, found.source.bytes) == ("done", size)


async def test_an_original_over_the_limit_is_refused(backend: Backend) -> None:
    await upload(backend)
    async with consuming(backend, FakeRenderer(), max_source_bytes=4):
        await settled(backend, dead=1)
    found = await record(backend)
    assert found is not None
    assert found.error is not None
    assert found.error.code == "too-large"

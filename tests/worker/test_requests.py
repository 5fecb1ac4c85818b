"""How many requests a queue gets: they are what SQS charges for."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, consuming, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.errors import BackendUnavailable
from thumbq.ports import MAX_BATCH, EntryResult, ReceivedMessage
from thumbq.worker.acks import LINGER_S, Acks
from thumbq.worker.lease import Lease
from thumbq.worker.queuehealth import QueueHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.ports import Backend


class Counting(Delegate):
    """A queue that notes how many messages each receive asks for, and how many each other request is about."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.asked_for: list[int] = []
        self.received: list[int] = []
        self.deleted: list[int] = []
        self.extended: list[int] = []

    async def receive(self, *, max_messages: int, **options: Any) -> Sequence[ReceivedMessage]:
        self.asked_for.append(max_messages)
        messages: Sequence[ReceivedMessage] = await self.target.receive(max_messages=max_messages, **options)
        self.received.append(len(messages))
        return messages

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        self.deleted.append(len(receipts))
        results: Sequence[EntryResult] = await self.target.delete(receipts)
        return results

    async def extend(self, changes: Sequence[Any]) -> Sequence[EntryResult]:
        self.extended.append(len(changes))
        results: Sequence[EntryResult] = await self.target.extend(changes)
        return results


class Obedient:
    """A queue that does whatever it is told to."""

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        return [EntryResult.OK] * len(receipts)

    async def extend(self, changes: Sequence[Any]) -> Sequence[EntryResult]:
        return [EntryResult.OK] * len(changes)


@pytest.mark.parametrize("number", [1, 9, 10, 11, 25, 100])
async def test_deletes_that_come_within_one_linger_of_each_other_go_in_full_batches(number: int) -> None:
    clock, queue = SystemClock(), Counting(Obedient())
    acks = Acks(queue=queue, clock=clock, health=QueueHealth(clock), random=Random(1))
    leases = [
        Lease(
            ReceivedMessage(str(index), str(index), "", 1, 0.0),
            received_at=0.0, timeout_s=30, beat_interval_s=10, clock=clock,
        )
        for index in range(number)
    ]  # fmt: skip

    async def delete(index: int) -> None:
        await anyio.sleep(index / number * LINGER_S * 0.9)
        assert await acks.delete(leases[index])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acks.run)
        async with anyio.create_task_group() as deletes:
            for index in range(number):
                deletes.start_soon(delete, index)
        tasks.cancel_scope.cancel()
    assert sum(queue.deleted) == number
    assert len(queue.deleted) == math.ceil(number / MAX_BATCH)


async def test_a_receive_asks_for_as_many_as_can_start_and_for_ten_at_the_most(backend: Backend) -> None:
    queue, renderer = Counting(backend.queue), FakeRenderer(*[3600.0] * 25)
    for number in range(40):
        await upload(backend, f"uploads/{number}")
    async with consuming(replace(backend, queue=queue), renderer, concurrency=25, processes=25) as consumer:
        await until(lambda: renderer.renders == 25, within_s=60, what="25 renders")
        assert queue.asked_for == [10, 10, 5]
        consumer.abort(within_s=1)


async def test_a_backlog_costs_two_requests_for_ten_messages(backend: Backend) -> None:
    queue = Counting(backend.queue)
    for number in range(200):
        await upload(backend, f"uploads/{number}")
    async with consuming(replace(backend, queue=queue), FakeRenderer(), concurrency=20, processes=10):
        await settled(backend, within_s=60)
    assert sum(queue.received) == sum(queue.deleted) == 200
    assert queue.extended == []
    assert [number for number in queue.received if number] == [10] * 20
    assert len(queue.deleted) <= 22, "one batch or two are cut short by the last job and by the first"


@pytest.mark.parametrize(
    ("rate", "processes"),
    [
        *((1, 1), (1.5, 2), (25, 2), (200, 2)),
        *(pytest.param(*more, marks=pytest.mark.long) for more in ((1, 2), (3, 2), (10, 1))),
    ],
    ids=str,
)
async def test_a_backlog_costs_a_quarter_of_a_request_a_message_from_1_to_200_jobs_a_second(
    backend: Backend, rate: float, processes: int
) -> None:
    queue, number = Counting(backend.queue), 120
    for job in range(number):
        await upload(backend, f"uploads/{job}")
    renderer = FakeRenderer(*[processes / rate] * number, processes=processes)
    async with consuming(replace(backend, queue=queue), renderer, concurrency=None, processes=processes):
        await settled(backend, within_s=2 * number / rate + 60)
    assert sum(queue.deleted) == number
    assert queue.received[-1] == 0, "the last one waits for more"
    assert len(queue.received) - 1 + len(queue.deleted) + len(queue.extended) <= 0.25 * number


@pytest.mark.parametrize(("job_s", "beside_s"), [(0.0, None), (0.2, None), (5.0, None), (0.2, 60.0)])
async def test_a_message_that_comes_alone_is_picked_up_and_deleted_at_once(
    backend: Backend, job_s: float, beside_s: float | None
) -> None:
    class Timed(Counting):
        deleted_at: list[float] = []  # noqa: RUF012 - of one test

        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            self.deleted_at.append(anyio.current_time())
            return await super().delete(receipts)

        def has_deleted(self, number: int) -> bool:
            return len(self.deleted) == number

    queue, others = Timed(backend.queue), [] if beside_s is None else [beside_s]
    queue.deleted_at = []
    renderer = FakeRenderer(*others, job_s, job_s, job_s, processes=2)
    async with consuming(replace(backend, queue=queue), renderer, concurrency=None, processes=2) as consumer:
        for number in range(len(others)):
            await upload(backend, f"uploads/beside-{number}")
        await until(lambda: renderer.renders == len(others), within_s=5, what="the render beside it")
        for number in range(3):
            await anyio.sleep(1)
            sent_at = anyio.current_time()
            await upload(backend, f"uploads/{number}")
            await until(partial(queue.has_deleted, number + 1), within_s=20, what="the delete")
            assert queue.deleted_at[-1] - sent_at < job_s + LINGER_S + 0.1
        consumer.abort(within_s=1)


async def deletes(more_come: Callable[[], bool], *, apart_s: float, number: int, timeout_s: int = 30) -> list[int]:
    """Delete messages one after the other, and return how many went with each request."""
    clock, queue = SystemClock(), Counting(Obedient())
    acks = Acks(queue=queue, clock=clock, health=QueueHealth(clock), random=Random(1), more_come=more_come)

    async def delete(index: int) -> None:
        message = ReceivedMessage(str(index), str(index), "", 1, 0.0)
        lease = Lease(
            message, received_at=clock.monotonic(), timeout_s=timeout_s, beat_interval_s=timeout_s / 3, clock=clock
        )
        assert await acks.delete(lease)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acks.run)
        async with anyio.create_task_group() as all_deletes:
            for index in range(number):
                all_deletes.start_soon(delete, index)
                await anyio.sleep(apart_s)
        tasks.cancel_scope.cancel()
    return queue.deleted


async def test_deletes_wait_for_each_other_while_more_are_sure_to_come() -> None:
    assert await deletes(lambda: True, apart_s=0.9, number=20) == [10, 10]
    assert await deletes(lambda: False, apart_s=0.9, number=4) == [1, 1, 1, 1]


async def test_no_delete_waits_longer_than_ten_seconds_or_half_of_its_lease() -> None:
    assert await deletes(lambda: True, apart_s=4, number=6) == [3, 3]
    assert await deletes(lambda: True, apart_s=1, number=6, timeout_s=6) == [3, 3]


async def test_deletes_that_wait_go_when_no_more_come() -> None:
    begun_at = anyio.current_time()
    assert await deletes(lambda: anyio.current_time() < begun_at + 3, apart_s=1.4, number=4) == [3, 1]


async def test_a_delete_that_failed_is_soon_tried_again_whoever_else_may_come() -> None:
    tried_at: list[float] = []

    class Away(Obedient):
        async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
            tried_at.append(anyio.current_time())
            if len(tried_at) < 5:
                raise BackendUnavailable("away")
            return await super().delete(receipts)

    clock = SystemClock()
    queue: Any = Away()
    acks = Acks(queue=queue, clock=clock, health=QueueHealth(clock), random=Random(1), more_come=lambda: True)
    lease = Lease(
        ReceivedMessage("m", "r", "", 1, 0.0),
        received_at=clock.monotonic(),
        timeout_s=60,
        beat_interval_s=20,
        clock=clock,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(acks.run)
        assert await acks.delete(lease)
        tasks.cancel_scope.cancel()
    waits = [later - earlier for earlier, later in pairwise(tried_at)]
    assert all(0.25 <= wait <= 12 + LINGER_S for wait in waits)
    assert waits[0] <= 0.75 + LINGER_S


async def test_a_backlog_that_has_no_job_for_the_next_process_is_asked_though_few_places_are_free(
    backend: Backend,
) -> None:
    """Nine of fourteen jobs wait for their originals: the processes would have nothing to do."""

    class Slow(Delegate):
        async def fetch(self, ref: Any, *args: Any, **options: Any) -> Any:
            if int(ref.key.rpartition("/")[2]) in range(1, 10):
                await anyio.sleep_forever()
            return await self.target.fetch(ref, *args, **options)

    queue = Counting(backend.queue)
    for number in range(40):
        await upload(backend, f"uploads/{number}")
    renderer = FakeRenderer(*[0.05] * 40, processes=2)
    slow = replace(backend, queue=queue, store=Slow(backend.store))
    async with consuming(slow, renderer, concurrency=None, processes=2) as consumer:
        await until(lambda: renderer.renders == 31, within_s=60, what="all others")
        consumer.abort(within_s=1)

"""How many requests a queue gets: they are what SQS charges for."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, consuming, settled, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.ports import MAX_BATCH, EntryResult, ReceivedMessage
from thumbq.worker.acks import LINGER_S, Acks
from thumbq.worker.lease import Lease
from thumbq.worker.queuehealth import QueueHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

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

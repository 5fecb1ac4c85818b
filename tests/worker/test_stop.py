"""The stop, step by step: rule 7."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from support.doubles.consuming import Delegate, SlowAnswers, consuming, record, upload
from support.doubles.rendering import FakeRenderer
from support.patience import until, within
from thumbq.core import keys
from thumbq.errors import BackendUnavailable
from thumbq.ports import QueueCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.job import ObjectRef
    from thumbq.ports import Backend, EntryResult, VisibilityChange


class Noting(Delegate):
    """A queue that notes what is asked of it."""

    def __init__(self, target: Any, steps: list[str]) -> None:
        super().__init__(target)
        self.steps = steps

    async def extend(self, changes: Sequence[VisibilityChange]) -> Sequence[EntryResult]:
        self.steps += ["release" if change.timeout_s == 0 else "beat" for change in changes]
        results: Sequence[EntryResult] = await self.target.extend(changes)
        return results

    async def delete(self, receipts: Sequence[str]) -> Sequence[EntryResult]:
        self.steps += ["delete" for _ in receipts]
        results: Sequence[EntryResult] = await self.target.delete(receipts)
        return results


async def test_what_has_not_started_goes_back_at_once_and_what_runs_is_done_with_heartbeats(backend: Backend) -> None:
    steps: list[str] = []
    renderer = FakeRenderer(5.0, processes=1)
    names = [f"uploads/{number}" for number in range(3)]
    for name in names:
        await upload(backend, name)
    noting = replace(backend, queue=Noting(backend.queue, steps))
    async with consuming(noting, renderer, visibility_timeout_s=4, processes=4) as consumer:
        await until(lambda: (renderer.asked, renderer.renders) == (3, 1), within_s=5, what="one render, two that wait")
        consumer.stop()
        await until(lambda: steps.count("release") == 2, within_s=2, what="the two given back")
        assert await backend.queue.counts() == QueueCounts(visible=2, in_flight=1, delayed=0, dead=0)
    assert renderer.renders == 1
    assert steps[-1] == "delete"
    assert "beat" in steps[steps.index("release") :]
    assert [bool(await record(backend, name)) for name in names].count(True) == 1


async def test_a_stop_in_the_middle_of_a_receive_gives_back_what_it_brings(backend: Backend) -> None:
    renderer, queue = FakeRenderer(), SlowAnswers(backend.queue)
    async with consuming(replace(backend, queue=queue), renderer) as consumer:
        await upload(backend)
        await queue.received.wait()
        consumer.stop()
        queue.go_on.set()
    assert renderer.renders == 0
    assert await backend.queue.counts() == QueueCounts(visible=1, in_flight=0, delayed=0, dead=0)


async def test_a_stop_while_the_queue_is_away_ends_its_pause(backend: Backend) -> None:
    class Away(Delegate):
        failures = 0

        async def receive(self, **options: Any) -> Any:
            del options
            self.failures += 1
            raise BackendUnavailable("SQS is away")

    queue = Away(backend.queue)
    async with consuming(replace(backend, queue=queue), FakeRenderer()) as consumer:
        await until(lambda: queue.failures >= 4, within_s=30, what="a long pause")
        with within(0.5):
            consumer.stop()
            await anyio.wait_all_tasks_blocked()


async def test_after_the_deadline_of_a_stop_everything_is_killed_and_given_back(backend: Backend) -> None:
    renderer = FakeRenderer(*[3600.0] * 4)
    for number in range(4):
        await upload(backend, f"uploads/{number}")
    async with consuming(backend, renderer, processes=4) as consumer:
        await until(lambda: renderer.renders == 4, within_s=5, what="four renders")
        consumer.stop()
        await anyio.wait_all_tasks_blocked()
        assert (await backend.queue.counts()).in_flight == 4
        consumer.abort(within_s=1)
    assert renderer.killed == 4
    assert await backend.queue.counts() == QueueCounts(visible=4, in_flight=0, delayed=0, dead=0)


async def test_a_last_receive_that_had_not_begun_when_the_deadline_passed_never_does(backend: Backend) -> None:
    class CutOff(Delegate):
        """A queue whose answer the consumer is cut off with, before its job has had a turn."""

        async def receive(self, **options: Any) -> Any:
            messages = await self.target.receive(**options)
            if messages:
                asyncio.get_running_loop().call_soon(cut_off)
            return messages

    def cut_off() -> None:
        consumer.stop()
        consumer.abort(within_s=1)
        over.set()

    renderer, over = FakeRenderer(), anyio.Event()
    queue = CutOff(backend.queue)
    async with consuming(replace(backend, queue=queue), renderer, max_receive_count=1) as consumer:
        await upload(backend)
        await over.wait()
    assert renderer.renders == 0
    assert (await backend.queue.counts()).visible == 1


async def test_a_stop_does_not_wait_for_a_store_that_hangs(backend: Backend) -> None:
    class Hanging(Delegate):
        probes = 0

        async def get(self, ref: ObjectRef, **options: Any) -> Any:
            del ref, options
            raise BackendUnavailable("S3 is away")

        async def put(self, ref: ObjectRef, *args: Any, **options: Any) -> Any:
            del args, options
            assert ref.key == keys.PROBE_KEY
            self.probes += 1
            await anyio.sleep_forever()

    store = Hanging(backend.store)
    await upload(backend)
    with within(8):
        async with consuming(replace(backend, store=store), FakeRenderer()):
            await until(lambda: store.probes, within_s=5, what="a probe that hangs")
    counts = await backend.queue.counts()
    assert counts.visible + counts.in_flight == 1

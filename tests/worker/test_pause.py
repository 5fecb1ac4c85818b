"""A queue that is paused: nothing is received, nothing is lost, and all goes on after it."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from structlog.testing import capture_logs

from support.doubles.clocks import SystemClock
from support.doubles.consuming import Delegate, Refusing, consuming, settled, upload
from support.doubles.rendering import FakeRenderer
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import AccessDenied, BackendUnavailable
from thumbq.jobs.resources import make_job_resources
from thumbq.local import open_local_queues
from thumbq.pauses import Pause, pause, read_pause, resume
from thumbq.settings import QueueTable, Settings
from thumbq.settings.queues import ONLY_QUEUE
from thumbq.worker import make_consumers
from thumbq.worker.pausewatch import LOOK_EVERY_S, PauseWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend, JobQueue, ObjectStore
    from thumbq.worker import Consumer

HOLDS_AFTER_S = 20
AWAY = BackendUnavailable("away")


class Receives(Delegate):
    """A queue that keeps the times at which it was asked for messages."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.at: list[float] = []

    async def receive(self, **options: Any) -> Any:
        self.at.append(anyio.current_time())
        return await self.target.receive(**options)


@asynccontextmanager
async def replica(
    backend: Backend, *, store: ObjectStore | None = None, wait_time_s: int = 20
) -> AsyncIterator[tuple[Consumer, Receives, PauseWatch]]:
    """Run a replica that looks for pauses in the ``store``, or in the backend's own."""
    receives = Receives(backend.queue)
    watch = PauseWatch(store or backend.store, backend.bucket, [ONLY_QUEUE])
    pausable = watch.pausable(replace(backend, queue=cast("JobQueue", receives)), ONLY_QUEUE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        async with consuming(pausable, FakeRenderer(), wait_time_s=wait_time_s) as consumer:
            yield consumer, receives, watch
        tasks.cancel_scope.cancel()


async def waiting(backend: Backend) -> int:
    return (await backend.queue.counts()).visible


@pytest.mark.parametrize("wait_time_s", [0, 20])
async def test_no_replica_receives_twenty_seconds_after_a_pause_and_resuming_drains_the_queue(
    backend: Backend, wait_time_s: int
) -> None:
    async with (
        replica(backend, wait_time_s=wait_time_s) as (one, first, _),
        replica(backend, wait_time_s=wait_time_s) as (_, second, _),
        replica(backend, wait_time_s=wait_time_s) as (_, third, _),
    ):
        for number in range(30):
            await upload(backend, f"uploads/before-{number}")
        await settled(backend)
        paused_at = anyio.current_time()
        await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
        for number in range(60):
            await upload(backend, f"uploads/under-load-{number}")
            await anyio.sleep(1)
        late = [at for receives in (first, second, third) for at in receives.at if at > paused_at + HOLDS_AFTER_S]
        assert not late, "nothing is asked for"
        assert await waiting(backend) >= 60 - HOLDS_AFTER_S - wait_time_s, "and uploads go on"
        assert one.not_alive() is None
        resumed_at = anyio.current_time()
        assert await resume(backend.store, backend.bucket, ONLY_QUEUE) == Pause(5.0)
        await settled(backend, within_s=HOLDS_AFTER_S + 10)
        assert min(at for at in first.at if at > resumed_at) <= resumed_at + LOOK_EVERY_S + 0.1


@pytest.mark.parametrize("moment", [0, 6, 12, 18])
async def test_a_message_that_comes_twenty_seconds_after_a_pause_meets_no_open_long_poll(
    backend: Backend, moment: int
) -> None:
    async with replica(backend), AsyncExitStack() as others:
        await anyio.sleep(6.5)
        await others.enter_async_context(replica(backend))
        await anyio.sleep(6.5)
        await others.enter_async_context(replica(backend))
        await anyio.sleep(moment + 0.1)
        await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
        await anyio.sleep(HOLDS_AFTER_S)
        await upload(backend)
        await anyio.sleep(60)
        assert await waiting(backend) == 1


async def test_a_store_that_takes_its_time_with_each_answer_delays_no_pause(backend: Backend) -> None:
    class Slow(Delegate):
        async def get(self, *arguments: Any, **options: Any) -> Any:
            try:
                return await self.target.get(*arguments, **options)
            finally:
                await anyio.sleep(3.9)

    async with replica(backend, store=cast("ObjectStore", Slow(backend.store))):
        await anyio.sleep(1)
        await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
        await anyio.sleep(HOLDS_AFTER_S)
        await upload(backend)
        await anyio.sleep(60)
        assert await waiting(backend) == 1


async def test_an_idle_replica_makes_four_long_polls_a_minute(backend: Backend) -> None:
    async with replica(backend) as (_, receives, _):
        await anyio.sleep(600)
        assert len(receives.at) == pytest.approx(4 * 10, abs=2), "as often as it looks for pauses, and no oftener"


async def test_a_replica_that_starts_under_a_pause_receives_nothing_and_stops_at_once(backend: Backend) -> None:
    await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
    await upload(backend)
    async with replica(backend) as (consumer, receives, watch):
        await anyio.sleep(600)
        assert watch.paused() == {ONLY_QUEUE: Pause(5.0)}
        assert consumer.not_alive() is None
        assert consumer.away_since() is None
        stopped_at = anyio.current_time()
    assert anyio.current_time() == pytest.approx(stopped_at, abs=0.1)
    assert not receives.at
    assert await waiting(backend) == 1


async def test_what_was_asked_for_before_a_pause_is_done(backend: Backend) -> None:
    async with replica(backend):
        await anyio.sleep(1)  # a long poll is open
        await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
        await anyio.sleep(LOOK_EVERY_S)
        await upload(backend)
        await settled(backend)


async def test_looking_costs_one_get_in_fifteen_seconds(backend: Backend) -> None:
    store = Refusing(backend.store, lambda *_: None)
    asked: list[str] = []
    store.says = lambda name, key: asked.append(f"{name} {key}")
    async with replica(backend, store=cast("ObjectStore", store)):
        for number in range(20):
            await upload(backend, f"uploads/{number}")
        await anyio.sleep(599)
    assert asked == [f"get {keys.pause_key(ONLY_QUEUE)}"] * 40, "however many jobs there are"


async def test_until_the_store_has_said_whether_it_is_paused_nothing_is_received(backend: Backend) -> None:
    store = Refusing(backend.store, lambda *_: AWAY)
    await upload(backend)
    async with replica(backend, store=cast("ObjectStore", store)) as (_, receives, _):
        await anyio.sleep(60)
        assert not receives.at
        store.says = lambda *_: None
        await settled(backend, within_s=2)


async def test_a_store_that_does_not_answer_later_leaves_all_as_it_was(backend: Backend) -> None:
    store = Refusing(backend.store, lambda *_: None)
    async with replica(backend, store=cast("ObjectStore", store)) as (_, receives, watch):
        await anyio.sleep(1)
        store.says = lambda *_: AWAY
        await upload(backend)
        await anyio.sleep(60)
        await settled(backend)
        store.says = lambda *_: None
        await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0)
        await anyio.sleep(HOLDS_AFTER_S)
        receives.at.clear()
        store.says = lambda *_: AWAY
        await anyio.sleep(300)
        assert not receives.at
        assert watch.paused()


async def test_without_the_right_to_look_jobs_go_on_and_it_is_said_once(backend: Backend) -> None:
    store = Refusing(backend.store, lambda *_: AccessDenied("no"))
    await upload(backend)
    with capture_logs() as logs:
        async with replica(backend, store=cast("ObjectStore", store)):
            await settled(backend)
            await anyio.sleep(100)
    [warning] = [line for line in logs if line["event"] == "service.warning"]
    assert warning["fix"] == "allow s3:GetObject on paused/*"


async def test_a_record_that_cannot_be_read_pauses_all_the_same(backend: Backend) -> None:
    ref = ObjectRef(backend.bucket, keys.pause_key(ONLY_QUEUE))
    for body in (b"", b"x" * 100_000, b'{"version": 2}'):
        await backend.store.put(ref, body, content_type="application/json")
        assert await read_pause(backend.store, backend.bucket, ONLY_QUEUE) == Pause(None)
    assert await resume(backend.store, backend.bucket, ONLY_QUEUE) == Pause(None)
    assert await resume(backend.store, backend.bucket, ONLY_QUEUE) is None


async def test_who_pauses_twice_gets_the_pause_that_stands(backend: Backend) -> None:
    assert await pause(backend.store, backend.bucket, ONLY_QUEUE, now=5.0) == Pause(5.0)
    assert await pause(backend.store, backend.bucket, ONLY_QUEUE, now=6.0) == Pause(5.0)


async def test_the_backlog_of_a_queue_that_is_paused_holds_up_no_other(tmp_path: Path) -> None:
    settings = Settings(queues=(QueueTable(name="high"), QueueTable(name="low")), processes=1, concurrency=4)
    clock = SystemClock()
    async with open_local_queues(tmp_path / "data", clock=clock, queues=("high", "low")) as (high, low):
        watch = PauseWatch(high.store, high.bucket, ["high", "low"])
        resources = make_job_resources(
            backend=high, renderer=FakeRenderer(*[1.0] * 10_000, processes=1), settings=settings, clock=clock
        )
        queues = [
            (config, watch.pausable(backend, config.label), await backend.queue.attributes())
            for config, backend in zip(settings.queue_configs, (high, low), strict=True)
        ]
        consumers = make_consumers(queues, resources=resources, settings=settings, random=random.Random(1))
        for number in range(200):
            await upload(high, f"uploads/high-{number}")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            tasks.start_soon(consumers.run)
            await anyio.sleep(20)
            await pause(high.store, high.bucket, "high", now=5.0)
            await anyio.sleep(HOLDS_AFTER_S)
            left = await waiting(high)
            assert left > 100, "a backlog"
            for number in range(3):
                await upload(low, f"uploads/low-{number}")
            await settled(low, within_s=30)
            assert await waiting(high) == left
            consumers.stop()
            await anyio.sleep(10)
            tasks.cancel_scope.cancel()

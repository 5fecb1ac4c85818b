"""Several queues in one replica: whose job is next, and what they share."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from support.doubles.clocks import HandClock, SystemClock
from support.doubles.consuming import Delegate, record, settled, upload
from support.doubles.rendering import FakeRenderer, pictures
from support.patience import until, within
from thumbq.core import keys
from thumbq.core.crashrecord import CrashRecord
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.jobs.bytebudget import ByteBudget
from thumbq.jobs.resources import make_job_resources
from thumbq.local import open_local_queues
from thumbq.pool.idleprocesses import IdleProcesses
from thumbq.pool.pooledprocess import PooledProcess
from thumbq.ports import Rendered, VisibilityChange
from thumbq.settings import QueueTable, Settings
from thumbq.worker import make_consumers
from thumbq.worker.backlogs import Backlogs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from thumbq.core.preset import Preset
    from thumbq.ports import Backend, Clock, Renderer
    from thumbq.worker.consumers import Consumers

IN_FLIGHT = 4
HIGH, LOW = QueueTable(name="high"), QueueTable(name="low", wait_time_s=0)


class OneProcess(FakeRenderer):
    """A renderer with the pool's own order of queues and one process, which does a job when it is told to."""

    def __init__(self, queues: Mapping[str, int | None]) -> None:
        super().__init__()
        self._idle = IdleProcesses(queues)
        self._idle.put(PooledProcess(cast("Any", None)))
        self._go_on = anyio.Semaphore(0)
        self.waiting = Counter[str]()
        self.begun: list[str] = []

    @asynccontextmanager
    async def process(self, queue: str) -> AsyncIterator[None]:
        self.waiting[queue] += 1
        try:
            process = await self._idle.take(queue)
        finally:
            self.waiting[queue] -= 1
        try:
            self.begun.append(queue)
            yield
        finally:
            self._idle.put(process)

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        del original
        await self._go_on.acquire()
        return pictures(presets)

    async def next(self, *, waiting: Mapping[str, int]) -> str:
        """Let the process end its job once so many renders wait in each queue; return the queue of the next one."""
        begun = len(self.begun)
        await until(
            lambda: all(self.waiting[queue] >= number for queue, number in waiting.items()),
            within_s=5,
            what=lambda: f"{waiting} renders that wait, not {self.waiting}",
        )
        self._go_on.release()
        await until(lambda: len(self.begun) > begun, within_s=5, what="the next render")
        return self.begun[-1]

    def finish(self) -> None:
        """Let the process do everything from now on."""
        for _ in range(1000):
            self._go_on.release()


@asynccontextmanager
async def opened(tmp_path: Path, *names: str) -> AsyncIterator[tuple[Backend, ...]]:
    async with open_local_queues(tmp_path / "data", clock=SystemClock(), queues=names) as backends:
        yield backends


@asynccontextmanager
async def consuming(
    settings: Settings, backends: Sequence[Backend], renderer: Renderer, clock: Clock | None = None
) -> AsyncIterator[Consumers]:
    clock = clock or SystemClock()
    resources = make_job_resources(backend=backends[0], renderer=renderer, settings=settings, clock=clock)
    queues = [
        (config, backend, await backend.queue.attributes())
        for config, backend in zip(settings.queue_configs, backends, strict=True)
    ]
    consumers = make_consumers(queues, resources=resources, settings=settings, random=random.Random(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consumers.run)
        yield consumers
        consumers.stop()


def settings_of(*queues: QueueTable, **further: Any) -> Settings:
    return Settings(queues=queues, processes=IN_FLIGHT, concurrency=IN_FLIGHT, **further)


async def test_a_flood_on_the_low_queue_delays_a_high_job_by_no_more_than_the_one_that_runs(tmp_path: Path) -> None:
    settings = settings_of(HIGH, LOW)
    renderer = OneProcess(settings.queue_weights)
    async with opened(tmp_path, "high", "low") as (high, low):
        for number in range(40):
            await upload(low, f"uploads/low-{number}")
        async with consuming(settings, (high, low), renderer):
            for _ in range(6):
                assert await renderer.next(waiting={"low": 1}) == "low"
            for number in range(3):
                await upload(high, f"uploads/high-{number}")
            for _ in range(3):
                assert await renderer.next(waiting={"high": 1, "low": 1}) == "high"
            assert await renderer.next(waiting={"low": 1}) == "low"
            renderer.finish()
            await settled(high)
            await settled(low)


async def test_under_weights_the_low_queue_gets_its_share_and_never_starves(tmp_path: Path) -> None:
    settings = settings_of(QueueTable(name="high", weight=9), QueueTable(name="low", weight=1))
    renderer = OneProcess(settings.queue_weights)
    async with opened(tmp_path, "high", "low") as (high, low):
        for number in range(60):
            await upload(high, f"uploads/high-{number}")
            if number < 10:
                await upload(low, f"uploads/low-{number}")
        async with consuming(settings, (high, low), renderer):
            turns = [await renderer.next(waiting={"high": 1, "low": 1}) for _ in range(40)]
            assert turns.count("low") == 4
            assert "low" in turns[:10]
            renderer.finish()
            await settled(high)
            await settled(low)


async def test_each_queue_is_polled_in_its_own_way_and_an_empty_one_costs_one_long_poll(tmp_path: Path) -> None:
    class Counting(Delegate):
        def __init__(self, target: Any) -> None:
            super().__init__(target)
            self.waits: list[int] = []

        async def receive(self, **options: Any) -> Any:
            self.waits.append(options["wait_s"])
            return await self.target.receive(**options)

    async with opened(tmp_path, "high", "low") as backends:
        queues = [Counting(backend.queue) for backend in backends]
        watched = [replace(backend, queue=queue) for backend, queue in zip(backends, queues, strict=True)]
        async with consuming(settings_of(HIGH, LOW), watched, FakeRenderer()):
            await until(lambda: len(queues[1].waits) == 2, within_s=5, what="a second short poll")
            assert (queues[0].waits, queues[1].waits) == ([20], [0, 0])


class Away(Delegate):
    """A queue that fails when it is told to."""

    fails = True

    async def receive(self, **options: Any) -> Any:
        if self.fails:
            raise BackendUnavailable("away")
        return await self.target.receive(**options)


async def test_a_queue_that_fails_stops_no_other_and_only_when_all_fail_the_replica_is_not_ready(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    async with opened(tmp_path, "high", "low") as (high, low):
        first, second = Away(high.queue), Away(low.queue)
        second.fails = False
        backends = (replace(high, queue=first), replace(low, queue=second))
        async with consuming(settings_of(HIGH, LOW), backends, FakeRenderer(), clock) as consumers:
            await upload(low)
            await settled(low)
            clock.now += 11
            assert consumers.not_receiving() is None
            second.fails = True
            await failing(consumers, clock)


async def failing(consumers: Consumers, clock: HandClock) -> None:
    def told() -> bool:
        clock.now += 1
        return "high: the queue has not answered" in str(consumers.not_receiving())

    await until(told, within_s=5, what="unreadiness")


async def test_quarantined_jobs_of_two_queues_render_one_at_a_time(tmp_path: Path) -> None:
    renderer = FakeRenderer(3600.0)
    async with opened(tmp_path, "high", "low") as backends:
        for backend in backends:
            await quarantined(backend)
        async with consuming(settings_of(HIGH, LOW), backends, renderer) as consumers:
            await until(lambda: renderer.renders, within_s=5, what="the render of a quarantined job")
            await until_in_flight(backends)
            await anyio.wait_all_tasks_blocked()
            assert renderer.renders == 1
            consumers.abort(within_s=1)


async def test_a_quarantined_job_that_others_wait_for_is_rendered_before_what_is_not_urgent(tmp_path: Path) -> None:
    queues: list[str] = []

    class Noting(FakeRenderer):
        @asynccontextmanager
        async def process(self, queue: str) -> AsyncIterator[None]:
            queues.append(queue)
            async with super().process(queue):
                yield

    async with opened(tmp_path, "high", "low") as backends:
        await quarantined(backends[1])
        await upload(backends[1], "uploads/innocent")
        async with consuming(settings_of(HIGH, LOW), backends, Noting()):
            await settled(backends[1])
    assert sorted(queues) == ["high", "low"]


async def quarantined(backend: Backend) -> None:
    """Queue a job whose render was killed once."""
    await upload(backend, f"uploads/{id(backend)}")
    [message] = await backend.queue.receive(max_messages=1, wait_s=1, visibility_timeout_s=30)
    ref = ObjectRef(backend.bucket, keys.crash_record_key(message.id))
    await backend.store.put(ref, CrashRecord(kills=1).encode(), content_type="application/json")
    await backend.queue.extend([VisibilityChange(message.receipt, 0)])


async def until_in_flight(backends: Sequence[Backend]) -> None:
    async def received() -> bool:
        return all([(await backend.queue.counts()).in_flight == 1 for backend in backends])

    await until(received, within_s=5, what="a message of each queue in flight")


async def test_what_a_stop_gives_back_goes_to_its_own_queue(tmp_path: Path) -> None:
    settings = settings_of(HIGH, LOW)
    renderer = OneProcess(settings.queue_weights)
    async with AsyncExitStack() as stack:
        high, low = await stack.enter_async_context(opened(tmp_path, "high", "low"))
        async with consuming(settings, (high, low), renderer) as consumers:
            await upload(low, "uploads/runs")
            await until(lambda: renderer.begun == ["low"], within_s=5, what="a render")
            await upload(high, "uploads/waits")
            await until(lambda: renderer.waiting["high"] == 1, within_s=5, what="a render that waits")
            consumers.stop()
            await until_visible(high)
            renderer.finish()
            await settled(low)
        assert await record(low, "uploads/runs") is not None
        assert await record(high, "uploads/waits") is None


async def until_visible(backend: Backend) -> None:
    async def visible() -> bool:
        return (await backend.queue.counts()).visible == 1

    await until(visible, within_s=5, what="a message that was given back")


async def test_only_a_queue_that_comes_first_and_has_more_than_it_can_take_holds_up_another() -> None:
    backlogs = Backlogs({"high": None, "middle": None, "low": None})
    backlogs.answered("middle", full=True)
    assert [backlogs.hold_up(queue) for queue in ("high", "middle", "low", "")] == [False, False, True, False]
    backlogs.answered("middle", full=False)
    backlogs.asks("middle")
    assert not backlogs.hold_up("low")
    weighted = Backlogs({"high": 9, "low": 1})
    weighted.answered("high", full=True)
    assert not weighted.hold_up("low")


async def test_while_a_queue_has_a_backlog_nothing_is_received_from_those_behind_it_and_soon_after_it_is(
    tmp_path: Path,
) -> None:
    settings = settings_of(HIGH, LOW)
    renderer = OneProcess(settings.queue_weights)
    async with opened(tmp_path, "high", "low") as (high, low):
        for number in range(IN_FLIGHT + 1):
            await upload(high, f"uploads/high-{number}")
        async with consuming(settings, (high, low), renderer):
            await until(lambda: renderer.waiting["high"] == IN_FLIGHT - 1, within_s=5, what="high renders that wait")
            await upload(low)
            assert await renderer.next(waiting={}) == "high"
            assert (await low.queue.counts()).in_flight == 0
            renderer.finish()
            await settled(high)
            await settled(low)


async def test_an_urgent_job_now_and_then_fills_the_only_place_but_does_not_hold_up_what_comes_after_it(
    tmp_path: Path,
) -> None:
    settings = Settings(queues=(HIGH, LOW), processes=1, concurrency=1)
    renderer = OneProcess(settings.queue_weights)
    async with opened(tmp_path, "high", "low") as (high, low):
        queue = Asked(high.queue)
        async with consuming(settings, (replace(high, queue=queue), low), renderer):
            await queue.asked.wait()
            await upload(high)
            await until(lambda: renderer.begun == ["high"], within_s=5, what="a job that comes after a while")
            await upload(low)
            assert await renderer.next(waiting={"low": 1}) == "low"
            renderer.finish()
            await settled(low)


class Asked(Delegate):
    """A queue that says when it is first asked for messages."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.asked = anyio.Event()

    async def receive(self, **options: Any) -> Any:
        self.asked.set()
        return await self.target.receive(**options)


@pytest.mark.parametrize("weights", [{"high": None, "low": None}, {"high": 9, "low": 1}])
async def test_memory_is_given_out_by_queues_too(weights: Mapping[str, int | None]) -> None:
    budget, order = ByteBudget(80, weights), list[str]()

    async def use(queue: str) -> None:
        async with budget.reserve(60, queue):
            order.append(queue)

    async with anyio.create_task_group() as tasks, budget.reserve(60, "low"):
        for queue in ("low", "low", "high"):
            tasks.start_soon(use, queue)
            await anyio.wait_all_tasks_blocked()
    assert order[0] == "high"


async def test_originals_that_wait_in_one_queue_never_keep_those_of_another_from_being_fetched() -> None:
    budget = ByteBudget(80, {"high": None, "low": None})
    async with AsyncExitStack() as held:
        for _ in range(7):
            await held.enter_async_context(budget.reserve(10, "low"))
        with anyio.move_on_after(0.01) as full:
            await held.enter_async_context(budget.reserve(10, "low"))
        assert full.cancelled_caught
        with within(1):
            async with budget.reserve(10, "high"):
                pass


async def test_a_large_original_in_a_queue_of_little_weight_gets_its_turn() -> None:
    budget, begun = ByteBudget(80, {"high": 9, "low": 1}), anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def small() -> None:
            while not begun.is_set():
                async with budget.reserve(20, "high"):
                    await anyio.lowlevel.checkpoint()

        for _ in range(5):
            tasks.start_soon(small)
        with within(2):
            async with budget.reserve(1000, "low"):
                begun.set()

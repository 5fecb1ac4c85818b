"""What observers are told of jobs: each stage once when it ends, each attempt once."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.doubles.consuming import consuming, put, settled, upload
from support.doubles.observing import Observed
from support.doubles.rendering import FakeRenderer
from support.figures import median_of_pairs
from thumbq.errors import RenderRefused, RenderUnavailable
from thumbq.ports.observing import Attempted, StageEnded, observed_by
from thumbq.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from support.figures import AtMost
    from thumbq.ports import Backend
    from thumbq.ports.observing import Happened, Observer


def attempts(observed: Observed) -> list[Attempted]:
    return [each for each in observed.happened if isinstance(each, Attempted)]


async def test_each_stage_is_told_when_it_ends_and_the_attempt_once(backend: Backend) -> None:
    observed, clock = Observed(), SystemClock()
    await upload(backend)
    await anyio.sleep(7)
    with observed_by([observed]):
        async with consuming(backend, FakeRenderer(2.0), clock):
            await settled(backend)
    stages = {each.stage: each for each in observed.happened if isinstance(each, StageEnded)}
    assert list(stages) == ["wait", "fetch", "render", "store", "ack"]
    assert stages["wait"].seconds == pytest.approx(7, abs=0.5)
    assert stages["render"].seconds == pytest.approx(2, abs=0.1)
    assert stages["fetch"].size == len(b"original")
    assert stages["store"].size > 0
    [attempt] = attempts(observed)
    assert (attempt.queue, attempt.ending, attempt.code) == ("", "done", None)
    assert attempt.wait_s == pytest.approx(7, abs=0.5)
    assert attempt.work_s == pytest.approx(2, abs=0.1)
    assert attempt.ended_at - (attempt.sent_at or 0) == pytest.approx(9, abs=0.5)


async def test_what_is_tried_again_and_what_has_failed_is_told_with_its_code(backend: Backend) -> None:
    observed = Observed()
    await upload(backend)
    renderer = FakeRenderer(RenderUnavailable("no process"), RenderRefused("corrupt", "no picture"))
    with observed_by([observed]):
        async with consuming(backend, renderer):
            await settled(backend, dead=1, within_s=60)
    assert [(each.ending, each.code) for each in attempts(observed)] == [("retried", None), ("failed", "corrupt")]
    assert all(each.work_s is None for each in attempts(observed))


async def test_a_message_that_cannot_be_read_has_failed_with_its_code(backend: Backend) -> None:
    observed = Observed()
    await backend.queue.send('{"source": 1}')
    with observed_by([observed]):
        async with consuming(backend, FakeRenderer()):
            await settled(backend, dead=1)
    assert [(each.ending, each.code) for each in attempts(observed)] == [("failed", "malformed-message")]


@pytest.mark.long
async def test_ten_thousand_jobs_of_strangers_make_no_series(backend: Backend) -> None:
    metrics = Metrics(queues=[""], routes=[], version="1")

    async def work_off(number: int) -> int:
        for _ in range(number):
            key = f"{secrets.token_hex(4)}/{secrets.token_hex(8)}.jpg"
            await put(backend, key)
            await backend.queue.send(key, group=f"tenant-{secrets.token_hex(8)}")
        await settled(backend, within_s=100_000)
        return metrics.expose("")[0].count(b"\n")

    with observed_by([metrics]):
        async with consuming(backend, FakeRenderer(), SystemClock()):
            before = await work_off(0)
            assert await work_off(10_000) == before
    assert b'thumbq_jobs_total{code="",outcome="done",queue="default"} 10000.0' in metrics.expose("")[0]


class Switched:
    """Passes on what it is told while it is on."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner
        self.on = False

    def observe(self, happened: Happened) -> None:
        if self.on:
            self._inner.observe(happened)


@pytest.mark.measured
async def test_what_metrics_take_of_a_job_in_a_consumer(backend: Backend, at_most: AtMost) -> None:
    """In pairs of blocks of jobs, with metrics and without: at most 2 % of a tiny job's 5 ms (docs/benchmark.md)."""
    switched = Switched(Metrics(queues=[""], routes=[], version="1"))

    async def us_a_job(on: bool) -> float:  # noqa: FBT001
        switched.on = on
        began = time.thread_time()
        for _ in range(50):
            await upload(backend, f"{secrets.token_hex(8)}.jpg")
        await settled(backend, within_s=1000)
        return (time.thread_time() - began) / 50 * 1e6

    with observed_by([switched]):
        async with consuming(backend, FakeRenderer(), SystemClock()):
            found = await median_of_pairs(us_a_job, 30)
    at_most("metrics of a job, in us of CPU time, median of 30 pairs", found, 100)

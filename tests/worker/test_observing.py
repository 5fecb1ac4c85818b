"""What observers are told of each attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from support.doubles.clocks import SystemClock
from support.doubles.consuming import consuming, settled, upload
from support.doubles.rendering import FakeRenderer
from thumbq.errors import RenderRefused, RenderUnavailable

if TYPE_CHECKING:
    from thumbq.ports import Attempted, Backend


class Observed:
    def __init__(self) -> None:
        self.attempts: list[Attempted] = []

    def attempted(self, attempt: Attempted) -> None:
        self.attempts.append(attempt)


async def test_each_attempt_is_told_once_with_its_times(backend: Backend) -> None:
    observed, clock = Observed(), SystemClock()
    await upload(backend)
    await anyio.sleep(7)
    async with consuming(backend, FakeRenderer(2.0), clock, observers=[observed]):
        await settled(backend)
    [attempt] = observed.attempts
    assert (attempt.queue, attempt.ending, attempt.code) == ("", "done", None)
    assert attempt.wait_s == pytest.approx(7, abs=0.5)
    assert attempt.work_s == pytest.approx(2, abs=0.1)
    assert attempt.ended_at - (attempt.sent_at or 0) == pytest.approx(9, abs=0.5)


async def test_what_is_tried_again_and_what_has_failed_is_told_with_its_code(backend: Backend) -> None:
    observed = Observed()
    await upload(backend)
    renderer = FakeRenderer(RenderUnavailable("no process"), RenderRefused("corrupt", "no picture"))
    async with consuming(backend, renderer, observers=[observed]):
        await settled(backend, dead=1, within_s=60)
    assert [(each.ending, each.code) for each in observed.attempts] == [("retried", None), ("failed", "corrupt")]
    assert all(each.work_s is None for each in observed.attempts)

"""Series of a queue: an hour of slots, each of fixed size, whatever comes."""

from __future__ import annotations

import random
import sys
import timeit
from typing import TYPE_CHECKING

import pytest

from thumbq.core.series import SLOTS, STEP_S, Histogram, Series, Slot, total
from thumbq.ports.observing import Attempted
from thumbq.web.queueseries import QueueSeries

if TYPE_CHECKING:
    from support.figures import AtMost

NOW = 1_800_000_000.0


def attempted(queue: str = "", at: float = NOW, **members: object) -> Attempted:
    return Attempted(queue, **({"ending": "done", "ended_at": at, "sent_at": at - 5} | members))  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_quantile_is_wrong_by_a_tenth_at_most(share: float) -> None:
    draw = random.Random(5)
    for scale in (0.002, 0.3, 40.0, 2000.0):
        histogram, times = Histogram(), sorted(scale * draw.lognormvariate(0, 0.4) for _ in range(2000))
        for seconds in times:
            histogram.add(seconds)
        assert histogram.quantile_s(share) == pytest.approx(times[int(share * len(times)) - 1], rel=0.1)


def test_a_histogram_takes_any_time() -> None:
    histogram = Histogram()
    assert histogram.quantile_s(0.5) is None
    for seconds in (0.0, -1.0, 1e-9, 1e9):
        histogram.add(seconds)
    assert histogram.number == 4
    assert 0 < (histogram.quantile_s(0.5) or 0) <= 0.001
    assert (histogram.quantile_s(1.0) or 0) > 10_000


def test_an_hour_is_kept_and_what_is_older_goes() -> None:
    series = Series()
    for second in range(0, 3 * 3600, 5):
        series.slot(NOW + second).done += 1
    now = NOW + 3 * 3600 - 5
    begins, slots = series.last(now)
    assert (len(slots), begins) == (SLOTS, (now // STEP_S - SLOTS + 1) * STEP_S)
    assert [slot.done for slot in slots] == [3] * SLOTS
    begins, slots = series.last(now + 1800)
    assert [slot.done for slot in slots] == [3] * (SLOTS // 2) + [0] * (SLOTS // 2)
    assert total(slots).done == 3 * SLOTS // 2
    assert total(series.last(now + 3600)[1]).done == 0


def test_a_clock_that_is_set_back_leaves_nothing_of_the_future() -> None:
    series = Series()
    series.slot(NOW + 7200).done += 1
    series.slot(NOW).done += 1
    assert len(series._slots) == 1
    assert total(series.last(NOW)[1]).done == 1


def test_memory_has_a_bound_however_much_comes() -> None:
    draw, observer = random.Random(6), QueueSeries(["", "low"])
    for number in range(30_000):
        at = NOW + number / 3
        observer.observe(
            attempted(
                draw.choice(["", "low", "of a stranger"]),
                at,
                ending=draw.choice(["done", "failed", "retried", "settled"]),
                wait_s=draw.uniform(0, 1e5),
                work_s=draw.uniform(0, 100),
                code=draw.choice([None, f"code-{number}"]),
            )
        )
    assert set(observer._series) == {"", "low"}
    for series in observer._series.values():
        assert len(series._slots) <= SLOTS
        sizes = [sys.getsizeof(slot.wait._counts) + sys.getsizeof(slot.work._counts) for slot in series._slots.values()]
        assert sum(sizes) < 256 << 10


def test_endings_are_counted_and_the_oldest_message_is_seen() -> None:
    observer = QueueSeries([""])
    for ending in ("done", "done", "failed", "retried", "settled"):
        observer.observe(attempted(ending=ending))
    observer.observe(attempted(ending="retried", sent_at=None))
    observer.observe(attempted(at=NOW + 60, sent_at=NOW - 600))
    slot = total(observer.of("").last(NOW + 60)[1])
    assert (slot.done, slot.failed, slot.retried, slot.oldest_sent_at) == (3, 1, 2, NOW - 600)
    assert (slot.wait.number, slot.work.number) == (0, 0)
    assert Slot().oldest_sent_at is None


@pytest.mark.measured
def test_counting_an_attempt_takes_ten_microseconds(at_most: AtMost) -> None:
    observer, attempt = QueueSeries([""]), attempted(wait_s=0.2, work_s=0.05)
    took_s = min(timeit.repeat(lambda: observer.observe(attempt), number=10_000, repeat=5)) / 10_000
    at_most("us of CPU for each attempt", took_s * 1e6, 10)

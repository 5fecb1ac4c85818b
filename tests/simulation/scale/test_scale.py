"""S3's partitions and SQS's fair queues as models, and many replicas over them: docs/scale.md shows what they do."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from simulation.scale import fairqueue
from simulation.scale.fairqueue import FairQueue, QueuedMessage
from simulation.scale.partitions import Partitions
from simulation.scale.run import HEAD, ROWS, Row, run
from simulation.scale.warmup import warmed_up
from simulation.scale.world import Load
from simulation.virtualloop import VirtualLoop
from support import documents
from support.documents import ROOT, SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE = 0.025
"""What the small worlds have of a large one, and of S3's limits."""

SELDOM = 0.01
"""With so few requests some come in a burst by chance."""


@pytest.mark.parametrize(("write", "limit"), [(True, 3_500), (False, 5_500)])
def test_a_partition_takes_no_more_in_a_second_than_s3_says(*, write: bool, limit: int) -> None:
    partitions = Partitions()
    admitted = [0] * 3
    for second in range(3):
        for number in range(10_000):
            admitted[second] += partitions.admits("one key", second + number / 10_000, write=write)
    assert len(partitions) == 2, "one before all keys, and one with this key that is not split again"
    assert admitted == [pytest.approx(part * limit, rel=0.01) for part in (1.1, 1.1, 1.0)], "with a tenth for a burst"


def test_splits_help_spread_keys_and_never_those_that_begin_with_the_time() -> None:
    spread, refused = warmed_up(250, 8, share=SHARE)
    assert refused[1] > 0.5
    assert max(refused[-3:]) < SELDOM
    plain, refused = warmed_up(250, 1, share=SHARE)
    assert len(plain) > len(spread), "they are split again and again"
    assert min(refused[1:]) > 0.5


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(max_turns=1000, max_time_s=1000)
    yield loop
    loop.close()


@pytest.fixture
def queue(loop: VirtualLoop) -> FairQueue[QueuedMessage]:
    return FairQueue(loop, random.Random(1), lambda message: message)


def received(queue: FairQueue[QueuedMessage], times: int = 1) -> list[QueuedMessage]:
    """Receive ten messages so many times."""
    found: list[QueuedMessage] = []
    for _ in range(times):
        queue.poll(10, 0, 30, found.extend)
    return found


@pytest.mark.parametrize("much", ["in flight", "time", "none"])
def test_a_tenant_with_much_in_flight_or_much_time_spent_comes_after_all_others(
    loop: VirtualLoop, queue: FairQueue[QueuedMessage], much: str
) -> None:
    for _ in range(200):
        queue.send("", "loud")
    for message in received(queue, 4 if much == "in flight" else 2):
        if much == "time":
            loop.now += 0.1
            queue.delete(message.receipt)
    for tenant in ("quiet", "calm"):
        queue.send("", tenant)
    others = [] if much == "none" else ["quiet", "calm"]
    assert [message.tenant for message in received(queue)] == others + ["loud"] * (10 - len(others))


def test_no_more_is_in_flight_than_sqs_allows(queue: FairQueue[QueuedMessage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairqueue, "MAX_IN_FLIGHT", 25)
    receipts: list[str] = []
    for number in range(40):
        queue.send("", f"{number}")
    for _ in range(4):
        queue.poll(10, 5, 30, lambda found: receipts.extend(each.receipt for each in found))
    assert (len(receipts), queue.in_flight) == (25, 25)
    queue.delete(receipts[0])
    queue.extend(receipts[1], 0)
    queue.poll(10, 5, 30, lambda found: receipts.extend(each.receipt for each in found))
    assert (len(queue), queue.in_flight) == (39, 25)


def test_a_small_world_loses_nothing_and_s3_refuses_next_to_nothing_where_keys_are_spread() -> None:
    outcome = run(Load(replicas=5, a_second=250, key_prefixes=8), share=SHARE)
    assert outcome.lost == []
    assert outcome.slow_downs < SELDOM * sum(outcome.requests.values())


@pytest.mark.long
def test_a_crowd_without_a_tenant_has_all_others_wait() -> None:
    with_tenants, without = (run(Load(20, 1_000, with_tenants=each)) for each in (True, False))
    assert (with_tenants.lost, without.lost) == ([], [])
    assert max(with_tenants.waits.values()) < 2 < max(without.waits.values())


def cells(line: str) -> list[float]:
    return [float(cell.replace(",", "")) for cell in line.strip("| ").split("|")]


@pytest.mark.long
def test_two_hundred_replicas_do_as_three_and_the_document_shows_it() -> None:
    command = documents.example(SCALE, "Simulation", "sh").split()
    assert command[0] == "python"
    done = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"something was lost\n{done.stdout}{done.stderr}"
    head, _, *lines = done.stdout.splitlines()
    assert head == HEAD
    documented = documents.section(SCALE, "Simulation").partition(HEAD)[2].splitlines()[2 : 2 + len(ROWS)]
    assert [cells(line) for line in documented] == [pytest.approx(cells(line), rel=0.1) for line in lines], done.stdout

    shown = dict(zip(ROWS, map(cells, lines), strict=True))
    _, _, _, slow_downs, refused, requests, wait, drained_s, in_flight = range(9)
    three, many, plain = (shown[Row(*row)] for row in ((150, 3, 1), (10_000, 200, 8), (10_000, 200, 1)))
    assert (many[slow_downs], many[refused]) == (0, 0)
    assert many[requests] == pytest.approx(three[requests], rel=0.1)
    assert many[wait] < 2
    assert many[wait] < 1.1 * three[wait]
    assert many[drained_s] < 1.1 * three[drained_s]
    assert many[in_flight] < fairqueue.MAX_IN_FLIGHT / 10
    assert plain[slow_downs] > 10_000
    assert plain[refused] > 0

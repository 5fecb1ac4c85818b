"""What SQS is asked for, counted on its side of the wire: requests are what it charges for."""

from __future__ import annotations

from itertools import dropwhile, pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import queued
from thumbq.core import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.servers.fault_proxy import Asked, FaultProxy

pytestmark = pytest.mark.chaos

AT_THE_START = {"GetQueueUrl", "GetQueueAttributes"}


@pytest.mark.measured
async def test_draining_a_backlog_costs_less_than_a_third_of_a_request_for_each_message(
    place: Place,
    proxy: FaultProxy,
    form: str,
    figure: Callable[[str, object], None],
    at_most: AtMost,
) -> None:
    count = 1000 if form == "full" else 200
    async with place.backend() as backend:
        await queued(backend, [images.small_jpeg()] * count)
    replica = await place.replica(endpoint=await proxy.endpoint("a"))
    ready_at = anyio.current_time()
    await place.queue_empty(within_s=100)
    drained_s = anyio.current_time() - ready_at
    asked = proxy.counts("sqs")
    requests = sum(times for operation, times in asked.items() if operation not in AT_THE_START) / count
    figure("messages", count)
    figure("requests to SQS", dict(asked))
    figure("messages a second", round(count / drained_s))
    assert len(replica.events("job.done")) == count
    at_most("requests to SQS for a message", requests, 0.30)


async def test_an_idle_replica_makes_one_long_poll_after_the_other_and_no_other_request(
    place: Place, proxy: FaultProxy, form: str, figure: Callable[[str, object], None]
) -> None:
    wait_time_s, polls = (20, 4) if form == "full" else (1, 4)
    await place.replica(endpoint=await proxy.endpoint("a"), wait_time_s=wait_time_s)

    def idle() -> Sequence[Asked]:
        """Return what was asked from the first poll on that came after the last request of the start."""
        start = next((at for at, asked in enumerate(proxy.asked) if _ends_the_start(asked)), None)
        return [] if start is None else list(dropwhile(_is_no_poll, proxy.asked[start + 1 :]))

    await until(
        lambda: len(_polls(idle())) > polls,
        within_s=(2 + polls) * wait_time_s + 10,
        what=f"{polls} polls that have come to their end",
    )
    later = [asked for asked in idle() if not _looks_for_a_pause(asked)]
    pauses = [round(after.at - before.at, 2) for before, after in pairwise(later)]
    figure("requests while idle, and the seconds between them", ([asked.operation for asked in later], pauses))
    assert later == _polls(later)
    assert len(pauses) >= polls
    assert min(pauses) >= wait_time_s - 0.05


def _looks_for_a_pause(asked: Asked) -> bool:
    """Whether it is what each replica asks the store every 15 s."""
    return asked.operation == "GET" and f"/{keys.PAUSES_PREFIX}" in asked.path


def _polls(asked: Sequence[Asked]) -> list[Asked]:
    return [each for each in asked if not _is_no_poll(each)]


def _is_no_poll(asked: Asked) -> bool:
    return asked.operation != "ReceiveMessage" or "-dlq" in asked.body


def _ends_the_start(asked: Asked) -> bool:
    """Whether it is what a replica asks last at its start: after a look at the dead letters, what is in flight."""
    return asked.operation == "GetQueueAttributes" and "-dlq" in asked.body and "NotVisible" in asked.body

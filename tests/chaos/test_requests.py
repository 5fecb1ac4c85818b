"""What SQS is asked for, counted on its side of the wire: requests are what it charges for."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.replicas.place import queued

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

    async def polled(times: int) -> None:
        await until(
            lambda: len(_polls(proxy.asked)) > times,
            within_s=(times + 1) * wait_time_s + 10,
            what=f"{times} polls that have come to their end",
        )

    # While the first one is open, the replica also looks for dead letters that nobody has noted a reason on.
    await polled(1)
    first = proxy.asked.index(_polls(proxy.asked)[1])
    await polled(1 + polls)
    later = proxy.asked[first:]
    pauses = [round(after.at - before.at, 2) for before, after in pairwise(later)]
    figure("requests while idle, and the seconds between them", ([asked.operation for asked in later], pauses))
    assert later == _polls(later)
    assert len(pauses) == polls
    assert min(pauses) >= wait_time_s - 0.05


def _polls(asked: Sequence[Asked]) -> list[Asked]:
    return [each for each in asked if each.operation == "ReceiveMessage" and "-dlq" not in each.body]

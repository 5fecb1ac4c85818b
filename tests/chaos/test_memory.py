"""A replica does not grow with the jobs that it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import images
from place import queued
from replica import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from place import Place
    from replica import Replica

pytestmark = pytest.mark.chaos

MIB = 1 << 20


async def test_memory_after_ten_times_the_jobs_is_what_it_was(
    local_place: Place, form: str, figure: Callable[[str, object], None]
) -> None:
    if form != "full":
        pytest.skip("thousands of jobs: the long form's (--chaos=full)")
    place = local_place
    replica = await place.replica(wait_time_s=1)
    used = {}
    async with place.backend() as backend:
        for jobs in range(1000, 10_001, 1000):
            await queued(backend, [images.small_jpeg()] * 1000)
            await place.queue_empty(within_s=200)
            used[jobs] = _used(replica)
    assert len(replica.events("job.done")) == 10_000
    figure("MiB of the main process and of the whole tree after so many jobs", used)
    for first, last in zip(used[1000], used[10_000], strict=True):
        assert last < 1.1 * first


def _used(replica: Replica) -> tuple[float, float]:
    main = resident_bytes(replica.process.pid) / MIB
    return round(main, 1), round(main + sum(map(resident_bytes, replica.children())) / MIB, 1)

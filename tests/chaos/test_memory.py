"""A replica does not grow with the jobs that it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pictures import images
from support.replicas.place import queued
from support.replicas.replica import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = [pytest.mark.chaos, pytest.mark.measured]

MIB = 1 << 20


async def test_memory_after_many_more_jobs_is_what_it_was(
    local_place: Place, form: str, figure: Callable[[str, object], None], at_most: AtMost
) -> None:
    # The short form finds what keeps the image of each job: 180 of them are more than a tenth of the memory.
    step, body = (1000, images.small_jpeg()) if form == "full" else (20, images.photo_jpeg(800, 600))
    place = local_place
    replica = await place.replica(wait_time_s=1)
    used = {}
    async with place.backend() as backend:
        for jobs in range(step, 10 * step + 1, step):
            await queued(backend, [body] * step)
            await place.queue_empty(within_s=200)
            used[jobs] = _used(replica)
    assert len(replica.events("job.done")) == 10 * step
    figure("MiB of the main process and of the whole tree after so many jobs", used)
    for first, last in zip(used[step], used[10 * step], strict=True):
        at_most("MiB after all of them for each after the first tenth", last / first, 1.1)


def _used(replica: Replica) -> tuple[float, float]:
    main = resident_bytes(replica.process.pid) / MIB
    return round(main, 1), round(main + sum(map(resident_bytes, replica.children())) / MIB, 1)

"""Jobs of real replicas that are deleted, in each state: within a minute a listing of the bucket has nothing of them.

``tests/worker/test_deletion.py`` has every moment of an attempt, on virtual time.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from support.patience import until
from support.pictures import images
from thumbq.core import keys

if TYPE_CHECKING:
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

WITHIN_S = 60


async def deleted(place: Place, replica: Replica, job_id: str) -> None:
    async with place.session.delete(f"{replica.url}/jobs/{job_id}") as answer:
        assert answer.status == 204, await answer.text()


async def awaiting(place: Place, replica: Replica) -> str:
    async with place.session.post(f"{replica.url}/uploads", json={"content_type": "image/jpeg"}) as answer:
        job_id: str = (await answer.json())["data"]["id"]
        return job_id


async def nothing_left(place: Place) -> None:
    """Wait until the bucket has tombstones only, and both queues nothing."""
    async with place.backend() as backend:

        async def left() -> list[str]:
            listed = await backend.store.list(backend.bucket, prefix="")
            found = [entry.key for entry in listed if not entry.key.startswith(keys.TOMBSTONES_PREFIX)]
            counts = await backend.queue.counts()
            return found + [f"{counts}"] * (counts.visible + counts.in_flight + counts.dead > 0)

        async def empty() -> bool:
            return not await left()

        await until(empty, within_s=WITHIN_S, what="a bucket with nothing of them")


async def test_within_a_minute_nothing_is_left_whatever_the_state(place: Place) -> None:
    first = await place.replica(wait_time_s=1, processes=1, render_timeout_s=20)
    done = await place.upload(first, images.small_jpeg())
    failed = await place.upload(first, images.truncated_jpeg())
    form = await awaiting(place, first)
    assert (await place.finished(first, done, within_s=20))["status"] == "done"
    assert (await place.finished(first, failed, within_s=20))["status"] == "failed"
    frozen = first.freeze_renders()
    rendering = await place.upload(first, images.small_jpeg())
    await place.in_flight(1)
    waiting = [await place.upload(first, images.small_jpeg()) for _ in range(3)]
    second = await place.replica(wait_time_s=1, processes=1)
    for job_id in (done, failed, form, rendering, *waiting):
        await deleted(place, second, job_id)
        for replica in (second, first):
            async with place.session.get(f"{replica.url}/jobs/{job_id}") as answer:
                # Another replica may remember for a moment that it was done.
                assert answer.status == 410 or (replica is first and job_id == done)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    await nothing_left(place)
    found = await place.command("reconcile", "--older-than", "0s")
    assert (found.returncode, found.stdout) == (0, b"0 keys, 0 originals without a manifest\n"), found


async def test_the_death_of_its_replica_brings_nothing_back(place: Place) -> None:
    first = await place.replica(wait_time_s=1, processes=1, render_timeout_s=20, visibility_timeout_s=5)
    first.freeze_renders()
    rendering = await place.upload(first, images.small_jpeg())
    await place.in_flight(1)
    await deleted(place, first, rendering)
    first.signal(signal.SIGKILL)
    second = await place.replica(wait_time_s=1, processes=1, visibility_timeout_s=5)
    await nothing_left(place)
    async with place.session.get(f"{second.url}/jobs/{rendering}") as answer:
        assert answer.status == 410

"""Held requests over two replicas: how soon they are answered, and what five hundred of them cost."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest

from support.pictures import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

JOBS: Final = 100
HELD: Final = 500
PROBES: Final = 200
WAIT: Final = {"Prefer": "wait=30"}


def p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99) - 1]


def many() -> aiohttp.ClientSession:
    """Return a client with as many connections as it needs."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def ended_at(replicas: Sequence[Replica], job_id: str) -> tuple[Replica, float]:
    """Return who has done a job, and when its log says so (POSIX seconds)."""
    for replica in replicas:
        for line in replica.lines():
            if line["event"] == "job.done" and line.get("job_id") == job_id:
                return replica, timestamp(line)
    raise AssertionError(f"nobody has done {job_id}")


def timestamp(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@pytest.mark.measured
@pytest.mark.parametrize("place", ["local", "ministack"], indirect=True)
async def test_answers_come_soon_after_the_end_of_a_job_wherever_it_ends(place: Place, at_most: AtMost) -> None:
    replicas = [await place.replica(wait_time_s=1), await place.replica(wait_time_s=1)]
    answered: dict[tuple[str, str], float] = {}

    async def wait(replica: Replica, job_id: str) -> None:
        async with session.get(f"{replica.url}/jobs/{job_id}", headers=WAIT) as answer:
            job = (await answer.json())["data"]
            answered[replica.url, job_id] = time.time()
            assert job["status"] == "done"

    ids: list[str] = []
    async with many() as session, anyio.create_task_group() as tasks:
        for number in range(JOBS):
            ids.append(await place.upload(replicas[number % 2], images.photo_jpeg(320, 240)))
            for replica in replicas:
                tasks.start_soon(wait, replica, ids[-1])
            await anyio.sleep(0.05)  # the load of the measurement: uploads come one after the other
    here: list[float] = []
    elsewhere: list[float] = []
    for job_id in ids:
        doer, at = ended_at(replicas, job_id)
        for replica in replicas:
            (here if replica is doer else elsewhere).append(answered[replica.url, job_id] - at)
    at_most("seconds from a job's end to the answer, same replica, p99", p99(here), 0.1)
    at_most("seconds from a job's end to the answer, other replica, p99", p99(elsewhere), 1.5)


@pytest.mark.measured
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_500_held_requests_leave_the_loop_free(place: Place, at_most: AtMost) -> None:
    replica = await place.replica(processes=1, wait_time_s=1)
    await place.upload(replica, images.photo_jpeg(64, 48))
    await place.queue_empty()
    replica.freeze_renders()
    ids = [await place.upload(replica, images.photo_jpeg(64, 48)) for _ in range(10)]

    async def hold(job_id: str) -> None:
        async with session.get(f"{replica.url}/jobs/{job_id}", headers=WAIT) as answer:
            await answer.read()

    async with many() as session, anyio.create_task_group() as tasks:
        for number in range(HELD):
            tasks.start_soon(hold, ids[number % len(ids)])
        await anyio.sleep(2)
        took = []
        for _ in range(PROBES):
            began = time.perf_counter()
            async with place.session.get(f"{replica.url}/livez") as answer:
                await answer.read()
            took.append(time.perf_counter() - began)
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    at_most("seconds of /livez beside 500 held requests, p99", p99(took), 0.05)

"""Retries under an idempotency key, against real replicas: kill -9 between any two steps, and many at once."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest

from support.patience import until
from support.pictures import images
from support.processes import dying

if TYPE_CHECKING:
    from support.replicas.place import Place
    from support.replicas.replica import Replica

SEAM: Final = (sys.executable, dying.__file__)
STEPS: Final = ("the claim", "the original", "the message", "the end of the claim")


async def send(replica: Replica, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Upload a file under a key; the status is 0 where no answer comes."""
    form = aiohttp.FormData()
    form.add_field("file", body, filename="a.jpg")
    async with aiohttp.ClientSession() as session:
        try:
            url = f"{replica.url}/upload"
            async with session.post(url, data=form, headers={"Idempotency-Key": key}) as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return 0, {}


async def accepted(replica: Replica, key: str, body: bytes) -> dict[str, Any]:
    """Send a file until it is accepted, as a client does."""

    async def answered() -> dict[str, Any] | None:
        status, answer = await send(replica, key, body)
        assert status in {201, 409}, answer
        return answer if status == 201 else None

    found: dict[str, Any] = await until(answered, within_s=30, what="an upload that is accepted")
    return found


async def originals(place: Place) -> list[str]:
    async with place.backend() as backend:
        listed = await backend.store.list(backend.bucket, prefix="uploads/")
        return [entry.key.removeprefix("uploads/") for entry in listed]


@pytest.mark.long
async def test_a_kill_between_any_two_steps_of_an_upload_and_a_retry_are_one_job_that_is_done_once(
    place: Place,
) -> None:
    """The claim's end comes last: a death before it, or before the answer, is the same for the client."""
    settings: dict[str, Any] = {"processes": 1, "wait_time_s": 1}
    body = images.photo_jpeg(120, 90)
    heir = await place.replica(program=(*SEAM, "-1"), **settings)
    jobs = []
    for step in range(len(STEPS)):
        doomed = await place.replica(program=(*SEAM, str(step)), **settings)
        assert await send(doomed, f"step-{step}", body) == (0, {}), STEPS[step]
        await doomed.ended(within_s=20)
        [job] = (await accepted(heir, f"step-{step}", body))["data"]["jobs"]
        jobs.append(job["id"])
    for job_id in jobs:
        assert (await place.finished(heir, job_id, within_s=60))["status"] == "done"
    await place.queue_empty(within_s=30)
    assert Counter(await originals(place)) == Counter(jobs)
    done = Counter(line["job_id"] for replica in place.replicas for line in replica.events("job.done"))
    assert done == Counter(jobs)


@pytest.mark.long
async def test_fifty_equal_requests_at_once_over_two_replicas_are_one_job(place: Place) -> None:
    replicas = [await place.replica(processes=1, wait_time_s=1) for _ in range(2)]
    body, answers = images.photo_jpeg(120, 90), []

    async def one(number: int) -> None:
        answers.append(await accepted(replicas[number % 2], "all-the-same", body))

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(one, number)
    assert len({json.dumps(answer) for answer in answers}) == 1
    [job] = answers[0]["data"]["jobs"]
    assert await originals(place) == [job["id"]]
    await place.finished(replicas[0], job["id"], within_s=60)
    sent = [line["job_id"] for replica in replicas for line in replica.events("upload.accepted")]
    assert sent == [job["id"]]

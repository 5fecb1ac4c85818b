"""``DELETE /jobs/{id}``: what the answers say, and what is left at once; tests/worker has what attempts leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from support.patience import until, within
from support.servers.web import JPEG
from thumbq.core import keys, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.manifest import ErrorRecord
from thumbq.core.tombstone import HOLD_S, REMEMBERED_S, Tombstone
from thumbq.errors import BackendUnavailable
from thumbq.web.services import SERVICES
from web.test_jobs import finish, uploaded
from web.test_presigned_uploads import post, presign

if TYPE_CHECKING:
    from support.servers.web import Served

DAY_S = 86_400


async def made(served: Served, state: str) -> str:
    """Make a job in a state, and return its id."""
    if state == "awaiting-upload":
        return str((await presign(served))["id"])
    if state == "posted":
        form = await presign(served)
        assert (await post(served, form))[0] == 204
        return str(form["id"])
    job_id = await uploaded(served)
    if state == "done":
        await finish(served, job_id)
    elif state == "failed":
        await finish(served, job_id, ErrorRecord(code="corrupt", message="no picture"))
    return job_id


STATES = ("queued", "done", "failed", "posted", "awaiting-upload")


async def delete(served: Served, job_id: str) -> tuple[int, str]:
    async with served.http.delete(f"/jobs/{job_id}") as response:
        return response.status, (await response.json())["code"] if response.status != 204 else ""


async def get(served: Served, path: str, **headers: str) -> tuple[int, Any]:
    async with served.http.get(path, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def stored(served: Served) -> list[str]:
    real = served.behind.real
    return [entry.key for entry in await real.store.list(real.bucket, prefix="")]


@pytest.mark.parametrize("state", STATES)
async def test_a_job_is_gone_at_once_whatever_its_state(served: Served, state: str) -> None:
    job_id = await made(served, state)
    assert (await get(served, f"/jobs/{job_id}"))[0] == 200, "and it is remembered for a while"
    waiting = await served.behind.waiting()
    assert await delete(served, job_id) == (204, "")
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/thumbnail", f"/jobs/{job_id}/none"):
        status, document = await get(served, path)
        assert (status, document["code"], document["detail"]) == (410, "deleted", "The job was deleted."), path
    _, document = await get(served, f"/jobs?id={job_id}")
    assert document["data"] == {"jobs": [], "unknown": [job_id]}
    _, document = await get(served, "/jobs")
    assert document["data"]["jobs"] == []
    source = keys.inbox_key(job_id) if state in {"posted", "awaiting-upload"} else keys.upload_key(job_id)
    assert await stored(served) == [keys.manifest_key(source), keys.tombstone_key(job_id)], "which says deleted"
    assert await served.behind.waiting() == waiting + 1


async def test_its_message_names_the_job_and_that_it_is_deleted(served: Served) -> None:
    job_id = await uploaded(served)
    await delete(served, job_id)
    received = await served.behind.real.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    source = ObjectRef(served.behind.real.bucket, keys.upload_key(job_id))
    asked = [message.parse(each.body, default_bucket="").jobs for each in received]
    assert asked == [(JobRequest(source),), (JobRequest(source, deletion=True),)]


@pytest.mark.parametrize("state", STATES)
async def test_it_can_be_deleted_again_and_is_known_as_deleted_for_fifteen_days(served: Served, state: str) -> None:
    job_id = await made(served, state)
    for _ in range(2):
        assert await delete(served, job_id) == (204, "")
    # What brings the deletion to its end removes the manifest that stands for it.
    for key in (keys.upload_key(job_id), keys.inbox_key(job_id)):
        await served.behind.real.store.delete(ObjectRef(served.behind.real.bucket, keys.manifest_key(key)))
    for days in (0, 1, 14.9):
        served.behind.clock.ahead_s = days * DAY_S
        assert (await get(served, f"/jobs/{job_id}"))[0] == 410
        assert await delete(served, job_id) == (204, "")
    served.behind.clock.ahead_s = REMEMBERED_S
    assert (await get(served, f"/jobs/{job_id}"))[0] == 404
    assert await delete(served, job_id) == (404, "no-job")


@pytest.mark.parametrize("job_id", ["0" * 26, "x", "0" * 27])
async def test_what_never_was_cannot_be_deleted(served: Served, job_id: str) -> None:
    assert await delete(served, job_id) == (404, "no-job")
    assert await stored(served) == []


async def test_a_tombstone_does_not_tell_the_id(served: Served) -> None:
    job_id = await uploaded(served)
    await delete(served, job_id)
    [tombstone] = [key for key in await stored(served) if key.startswith(keys.TOMBSTONES_PREFIX)]
    real = served.behind.real
    _, raw = await real.store.get(ObjectRef(real.bucket, tombstone), max_bytes=1000)
    assert job_id not in tombstone + raw.decode()
    assert Tombstone.decode(raw) is not None


async def test_who_waits_for_it_is_told(served: Served) -> None:
    first, second = await uploaded(served), await uploaded(served)
    answers: dict[str, Any] = {}

    async def wait(path: str) -> None:
        answers[path] = await get(served, path, Prefer="wait=30")

    with within(5):
        async with anyio.create_task_group() as tasks:
            alone, both = f"/jobs/{first}", f"/jobs?id={first}&id={second}"
            tasks.start_soon(wait, alone)
            tasks.start_soon(wait, both)
            await until(lambda: served.app[SERVICES].waiters.full, within_s=5, what="two who wait")
            assert await delete(served, first) == (204, "")
    assert answers[alone][0] == 410
    assert [job["id"] for job in answers[both][1]["data"]["jobs"]] == [second]
    assert answers[both][1]["data"]["unknown"] == [first]


async def test_its_form_is_refused_before_the_file_is_read(served: Served) -> None:
    form = await presign(served)
    await delete(served, form["id"])
    status, document = await post(served, form, JPEG)
    assert (status, document["code"]) == (410, "deleted")
    assert keys.inbox_key(form["id"]) not in await stored(served)


@pytest.mark.parametrize("name", ["put", "get", "head", "delete"])
async def test_a_store_that_is_away_is_told_and_another_try_deletes_it(served: Served, name: str) -> None:
    job_id = await made(served, "done")
    store = served.behind.store
    if name == "head":
        await served.behind.real.store.delete(
            ObjectRef(served.behind.real.bucket, keys.manifest_key(f"uploads/{job_id}"))
        )
    store.errors[name] = BackendUnavailable("away")
    assert await delete(served, job_id) == (503, "backend-unavailable")
    store.errors.clear()
    assert await delete(served, job_id) == (204, "")
    assert (await get(served, f"/jobs/{job_id}"))[0] == 410


async def test_a_manifest_that_another_attempt_has_put_meanwhile_is_removed_by_another_deletion(served: Served) -> None:
    job_id = await made(served, "done")
    await delete(served, job_id)
    served.behind.clock.ahead_s = HOLD_S + 1
    await finish(served, job_id)
    assert await delete(served, job_id) == (204, "")
    assert (await get(served, f"/jobs/{job_id}"))[0] == 410
    assert not [key for key in await stored(served) if key.startswith("thumbnail/")]

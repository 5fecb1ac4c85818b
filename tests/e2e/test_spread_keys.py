"""Keys that are spread over prefixes, as real replicas of other settings and the commands see them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest

from e2e.test_presigned_upload import finished, offered, post, setup_events
from support.documents import SCALE, example
from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws
from thumbq.core import keys

if TYPE_CHECKING:
    from support.replicas.place import Place


pytestmark = pytest.mark.long


@pytest.mark.parametrize("place", ["local", "ministack"], indirect=True)
async def test_replicas_that_spread_keys_otherwise_or_not_at_all_serve_the_same_jobs(place: Place) -> None:
    replicas = [await place.replica(key_prefixes=prefixes, wait_time_s=1) for prefixes in (8, 1, 3)]
    ids = [await place.upload(replica, images.photo_jpeg(320, 240)) for replica in replicas for _ in range(4)]
    assert [len(job_id) for job_id in ids] == [27] * 4 + [26] * 4 + [27] * 4
    for job_id in ids:
        for replica in replicas:
            job = await place.finished(replica, job_id, within_s=30)
            async with place.session.get(replica.url + job["renditions"]["thumbnail"]["url"]) as answer:
                assert (answer.status, answer.content_type) == (200, "image/jpeg")
    async with place.backend() as backend:
        listed = {entry.key for entry in await backend.store.list(backend.bucket, prefix="")}
    for source in map(keys.upload_key, ids):
        name = source.removeprefix("uploads/")
        assert {source, keys.manifest_key(source), f"thumbnail/{name}.jpg"} <= listed

    async with place.session.delete(f"{replicas[1].url}/jobs/{ids[0]}") as answer:
        assert answer.status == 204
    for replica in replicas:
        async with place.session.get(f"{replica.url}/jobs") as answer:
            found = [job["id"] for job in (await answer.json())["data"]["jobs"]]
        assert found == sorted(ids[1:])
    environment = without_aws(os.environ) | place.environment
    arguments = ("--older-than", "0s", "--json")
    done = await anyio.run_process([THUMBQ, "reconcile", *arguments], env=environment, check=False, stderr=PIPE)
    assert done.stdout == b"", done
    assert done.stderr.endswith(b"11 keys, 0 originals without a manifest\n"), done
    done = await anyio.run_process([THUMBQ, "rerender", "--all", *arguments], env=environment, check=False)
    assert [json.loads(line)["key"] for line in done.stdout.splitlines()] == sorted(map(keys.upload_key, ids[1:]))


@pytest.mark.parametrize("place", ["local", "ministack"], indirect=True)
async def test_a_presigned_upload_is_spread_too_and_its_event_comes(place: Place) -> None:
    if "THUMBQ_BUCKET" in place.environment:
        await setup_events(place)
    replicas = [await place.replica(key_prefixes=prefixes, wait_time_s=1) for prefixes in (8, 1)]
    offer = await offered(place, replicas[0])
    job_id = offer["id"]
    assert (len(job_id), keys.inbox_key(job_id)) == (27, offer["upload"]["fields"]["key"])
    assert (await place.job(replicas[1], job_id))["status"] == "awaiting-upload"
    assert await post(place, offer, images.photo_jpeg(320, 240)) == 204
    assert (await finished(place, replicas[1], job_id))["status"] == "done"
    async with place.backend() as backend:
        listed = {entry.key for entry in await backend.store.list(backend.bucket, prefix="")}
    assert {keys.inbox_key(job_id), keys.presigned_key(job_id)} <= listed
    async with place.session.get(f"{replicas[1].url}/jobs") as answer:
        assert [job["id"] for job in (await answer.json())["data"]["jobs"]] == [job_id]


async def test_the_documented_command_shows_the_prefix(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(images.small_jpeg())
    environment = without_aws(os.environ) | {"PATH": f"{Path(THUMBQ).parent}{os.pathsep}{os.environ['PATH']}"}
    script = example(SCALE, "Spread keys", "sh")
    done = await anyio.run_process(["bash", "-euc", script], cwd=tmp_path, env=environment, check=False)
    _, key, _ = done.stdout.decode().split()
    assert key.startswith("uploads/-"), done
    assert keys.upload_id(key) is not None

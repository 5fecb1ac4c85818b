"""Callbacks from real replicas to real endpoints on loopback, which a seam lets in."""

from __future__ import annotations

import json
import os
import secrets
import sys
from base64 import b64encode
from datetime import datetime
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from standardwebhooks.webhooks import Webhook

from support.documents import CALLBACKS, example
from support.patience import until
from support.pictures import images
from support.replicas.place import AWS_IS_LONG
from support.servers.endpoint import LOOPBACK, dead, listening, write_table
from thumbq.core import callbackmessage, keys
from thumbq.core.job import ObjectRef
from thumbq.local import open_local_queues
from thumbq.manifests import read_manifest
from thumbq.process import SystemClock

if TYPE_CHECKING:
    from support.figures import AtMost
    from support.replicas.place import Place
    from support.replicas.replica import Replica

SECRETS = [f"whsec_{b64encode(secrets.token_bytes(32)).decode()}" for _ in range(2)]


async def with_callbacks(place: Place, directory: Path, url: str, *others: str) -> None:
    """Write the table, and make the queue of callbacks where there is none."""
    file = directory / "thumbq.toml"
    write_table(file, url, *others)
    place.environment |= {"THUMBQ_CONFIG": str(file), "THUMBQ_WEBHOOK_SECRETS": " ".join(SECRETS)}
    if "THUMBQ_LOCAL" not in place.environment:
        await thumbq(place, "setup")


async def thumbq(place: Place, *arguments: str) -> str:
    done = await place.command(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


async def ended(place: Place, replica: Replica, job_id: str) -> dict[str, Any]:
    async with place.session.get(f"{replica.url}/jobs/{job_id}") as answer:
        data: dict[str, Any] = (await answer.json())["data"]
        return data


@pytest.mark.long
async def test_a_replica_calls_no_loopback_address_whatever_its_settings_say(place: Place, tmp_path: Path) -> None:
    async with listening() as endpoint:
        await with_callbacks(place, tmp_path, endpoint.url)
        file = tmp_path / "thumbq.toml"
        file.write_text(f'{file.read_text()}networks = ["127.0.0.0/8", "0.0.0.0/0", "::/0"]\n')
        replica = await place.replica(wait_time_s=1)
        await place.upload(replica, images.photo_jpeg(120, 90))
        await until(lambda: replica.events("callback.failed"), within_s=20, what=lambda: f"a call\n{replica.stderr()}")
        assert endpoint.calls == []
    [failed, *_] = replica.events("callback.failed")
    assert failed["reason"] == "its host has no address that may be called, but a loopback address"


@AWS_IS_LONG
async def test_an_endpoint_that_fails_is_called_again_with_signatures_of_both_secrets(
    place: Place, tmp_path: Path
) -> None:
    async with listening(500) as endpoint:
        await with_callbacks(place, tmp_path, endpoint.url)
        replica = await place.replica(program=LOOPBACK, wait_time_s=1)
        job_id = await place.upload(replica, images.photo_jpeg(120, 90))
        await until(lambda: len(endpoint.calls) == 2, within_s=20, what=lambda: f"two calls\n{replica.stderr()}")
        job = await ended(place, replica, job_id)
    for headers, body in endpoint.calls:
        for secret in SECRETS:
            outcome = Webhook(secret).verify(body, headers)
            assert (outcome["type"], outcome["data"]) == ("job.done", job)
    assert len({headers["webhook-id"] for headers, _ in endpoint.calls}) == 1


@pytest.mark.long
async def test_a_kill_after_the_manifest_loses_no_callback(place: Place, tmp_path: Path) -> None:
    async with listening() as endpoint:
        await with_callbacks(place, tmp_path, endpoint.url)
        settings: dict[str, Any] = {"wait_time_s": 1, "visibility_timeout_s": 6, "heartbeat_s": 2}
        dying = await place.replica(program=(*LOOPBACK, "die"), **settings)
        job_id = await place.upload(dying, images.photo_jpeg(120, 90))
        assert await dying.ended(within_s=20) == -9
        assert endpoint.calls == []
        heir = await place.replica(program=LOOPBACK, **settings)
        await until(lambda: endpoint.calls, within_s=30, what=lambda: f"a call\n{heir.stderr()}")
        await place.queue_empty(within_s=20)
        assert (await ended(place, heir, job_id))["status"] == "done"
        assert heir.events("job.already_done")
    assert len({headers["webhook-id"] for headers, _ in endpoint.calls}) == 1


@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_the_documented_endpoint_takes_what_the_documented_commands_send_again(
    place: Place, tmp_path: Path
) -> None:
    program = tmp_path / "endpoint.py"
    program.write_text(example(CALLBACKS, "Endpoint", "python"))
    assert 10 <= len(program.read_text().splitlines()) <= 20
    async with listening() as found:  # a port that is free
        url = found.url
    port = url.rpartition(":")[2].strip("/")
    output = tmp_path / "endpoint.out"
    environment = os.environ | {"PORT": port, "SECRET": SECRETS[1]}
    with output.open("wb") as out:
        endpoint = await anyio.open_process([sys.executable, str(program)], env=environment, stdout=out, stderr=out)
        try:
            await with_callbacks(place, tmp_path, url)
            replica = await place.replica(program=LOOPBACK)
            job_id = await place.upload(replica, images.photo_jpeg(120, 90))

            def told(times: int) -> bool:
                return output.read_text().count(f"job.done {job_id}\n") == times

            await until(lambda: told(1), within_s=20, what=lambda: f"{output.read_text()}\n{replica.stderr()}")
            listed, redriven, replayed = example(CALLBACKS, "Sending again", "sh").splitlines()
            data = place.environment.pop("THUMBQ_LOCAL")

            async def ran(command: str) -> str:
                words = command.replace("./thumbq-data", data).replace("7x3tq8m0kz5w9d2c4v6b1n8r0p", job_id).split()
                return await thumbq(place, *words[1:])

            assert await ran(listed) == await ran(redriven) == "no dead letters\n"
            assert (await ran(replayed)).startswith(f"{job_id}\tmsg_")
            await until(lambda: told(2), within_s=20, what=lambda: f"{output.read_text()}\n{replica.stderr()}")
        finally:
            endpoint.kill()
            await endpoint.wait()


@pytest.mark.measured
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_a_dead_endpoint_with_a_thousand_callbacks_holds_up_no_other(
    place: Place, tmp_path: Path, at_most: AtMost
) -> None:
    async with dead() as nobody, listening() as endpoint:
        await with_callbacks(place, tmp_path, endpoint.url, nobody)
        replica = await place.replica(program=LOOPBACK)
        job_id = await place.upload(replica, images.photo_jpeg(120, 90))
        await until(lambda: endpoint.calls, within_s=20, what=lambda: f"a call\n{replica.stderr()}")
        directory = Path(place.environment["THUMBQ_LOCAL"])
        name = callbackmessage.queue_name("")
        async with open_local_queues(directory, clock=SystemClock(), queues=("",), callbacks=name) as (jobs, callbacks):
            manifest = await read_manifest(jobs.store, ObjectRef(jobs.bucket, keys.upload_key(job_id)))
            assert manifest is not None
            message = callbackmessage.make_callback(manifest, nobody, {"type": "job.done"}).encode()
            async with anyio.create_task_group() as senders:
                for _ in range(1000):
                    senders.start_soon(callbacks.queue.send, message)
            for _ in range(10):
                await place.upload(replica, images.photo_jpeg(120, 90))
                await anyio.sleep(0.5)
            await until(lambda: len(endpoint.calls) == 11, within_s=60, what="the calls of the living")
            assert (await callbacks.queue.counts()).in_flight
            await place.queue_empty()
        ended = [datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp() for _, body in endpoint.calls]
    at_most("seconds to a living endpoint beside a dead one", max(map(sub, endpoint.times[1:], ended[1:])), 5)

"""Have an older release write what the tests of this one read: `python tests/releases/write.py COMMIT >0.1.0.json`.

COMMIT is where the release stands in this repository's history. Its code runs with the dependencies that are here: a
replica on a local directory and one on S3 and SQS of moto. What is kept of both: one job that is done, one that has
failed, one that a replica was at work on when it was killed, and two messages that were never received.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.patience import until
from support.replicas.place import Place, opened, set_up
from support.servers.emulators import moto_server, plain_client, without_aws

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
THUMBQ: Final = (sys.executable, "-m", "thumbq")
MESSAGES: Final = 3


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#c08040").save(file, "PNG")
    return file.getvalue()


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def work(place: Place, directory: Path) -> dict[str, str]:
    """Leave a job in each state; return the ids of those that were uploaded."""
    replica = await place.replica(program=THUMBQ)
    done = await place.upload(replica, picture(160, 120), "done.png")
    assert (await place.finished(replica, done, within_s=30))["status"] == "done"
    failed = await place.upload(replica, picture(160, 120)[:40], "failed.png")
    assert (await place.finished(replica, failed, within_s=30))["status"] == "failed"
    await until(lambda: replica.events("message.buried"), within_s=30, what="a dead letter")
    replica.freeze_renders()
    killed = await uploaded_with_options(place, replica.url)
    await place.in_flight(1)
    replica.process.kill()
    for name, options in {"plain": (), "asked": ("--preset", "thumbnail", "--tenant", "shop")}.items():
        (directory / f"{name}.png").write_bytes(picture(120, 160))
        command = [*THUMBQ, "send", *options, f"{directory}/{name}.png"]
        await anyio.run_process(command, env=without_aws(os.environ) | place.environment, cwd=directory)
    return {"done": done, "failed": failed, "killed": killed}


async def uploaded_with_options(place: Place, url: str) -> str:
    form = aiohttp.FormData()
    form.add_field("presets", "thumbnail")
    form.add_field("callback_url", "https://example.com/told")
    form.add_field("file", io.BytesIO(picture(200, 100)), filename="killed.png")
    async with place.session.post(f"{url}/upload", data=form) as answer:
        job_id: str = (await answer.json())["data"]["jobs"][0]["id"]
        return job_id


def of_a_directory(directory: Path) -> dict[str, Any]:
    """Return the database as the statements that make it, and the files beside it."""
    with closing(sqlite3.connect(directory / "thumbq.sqlite3")) as connection:
        numbers = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        statements = [*connection.iterdump(), *numbers]
    files = sorted(path for path in directory.rglob("*") if path.is_file() and "sqlite3" not in path.name)
    return {
        "database": statements,
        "files": {str(path.relative_to(directory)): text_of(path.read_bytes()) for path in files},
    }


def of_a_bucket(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return objects, messages and dead letters as AWS gives them, with the names of bucket and queue."""
    s3, sqs = (plain_client(service, environment) for service in ("s3", "sqs"))
    bucket, objects = environment["THUMBQ_BUCKET"], {}
    for listed in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        found = s3.get_object(Bucket=bucket, Key=listed["Key"])
        objects[listed["Key"]] = {
            "body": text_of(found["Body"].read()),
            "content_type": found["ContentType"],
            "metadata": found["Metadata"],
        }

    def received(queue: str, number: int) -> list[dict[str, Any]]:
        url, found = sqs.get_queue_url(QueueName=queue)["QueueUrl"], list[Any]()
        while len(found) < number:  # that of the replica that was killed comes when its lease has run out
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=5,
                VisibilityTimeout=600,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            found += answer.get("Messages", [])
        return [
            {
                "body": message["Body"],
                "attributes": message.get("MessageAttributes", {}),
                "group": message["Attributes"].get("MessageGroupId"),
            }
            for message in found
        ]

    queue = environment["THUMBQ_QUEUE"]
    return {
        "bucket": bucket,
        "objects": objects,
        "messages": received(queue, MESSAGES),
        "dead_letters": received(f"{queue}-dlq", 1),
    }


async def write(commit: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        archived = await anyio.run_process(["git", "archive", commit, "src"], cwd=ROOT)
        with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as opened_archive:
            opened_archive.extractall(directory, filter="data")
        old = {"PYTHONPATH": str(directory / "src")}
        data = directory / "data"
        async with opened(directory / "local", {"THUMBQ_LOCAL": str(data)} | old) as place:
            local: dict[str, Any] = {"jobs": await work(place, directory)}
        local |= of_a_directory(data)
        with moto_server(directory) as url:
            environment = await set_up(url) | old
            async with opened(directory / "aws", environment) as place:
                aws: dict[str, Any] = {"jobs": await work(place, directory)}
            aws |= of_a_bucket(environment)
    return {"commit": commit, "local": local, "aws": aws}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(anyio.run(write, sys.argv[1]), indent=1, ensure_ascii=False) + "\n")

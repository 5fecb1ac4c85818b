"""A FIFO queue and its groups, with real replicas, kill -9 among them, on an emulator that keeps FIFO's promises."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from PIL import Image

from support.patience import until
from support.pictures import images
from support.replicas.place import opened, put_unsigned, set_up
from support.servers.emulators import aws_env
from thumbq.aws.session import open_clients
from thumbq.core import keys
from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from support.replicas.place import Place
    from thumbq.aws.session import Clients

KILL_AT = (0.15, 0.45)
"""Shares of all jobs that are done then."""

SETTINGS: dict[str, Any] = {"visibility_timeout_s": 4, "wait_time_s": 1, "processes": 1}


@pytest.fixture
async def place(ministack_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Yield a place with a FIFO queue on ministack: moto keeps neither order nor locks of groups."""
    async with opened(tmp_path, await set_up(ministack_url, suffix=".fifo")) as place:
        yield place


@pytest.fixture
async def clients(ministack_url: str) -> AsyncIterator[Clients]:
    with aws_env(ministack_url):
        async with open_clients(connections=16, wait_time_s=1) as clients:
            yield clients


@dataclass
class Versions:
    """All versions that an object of a bucket has had: when each was put, by the store's own clock, and its ETag."""

    put_at: list[str] = field(default_factory=list)
    etags: set[str] = field(default_factory=set)


async def versions(clients: Clients, bucket: str, prefix: str) -> dict[str, Versions]:
    found: dict[str, Versions] = {}
    pages = clients.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    async for page in pages:
        for entry in page.get("Versions", []):
            of_key = found.setdefault(entry["Key"], Versions())
            of_key.put_at.append(entry["LastModified"].isoformat(timespec="milliseconds"))
            of_key.etags.add(entry["ETag"])
    return found


def source(group: int, number: int) -> str:
    return f"pile/{group:02}-{number:02}.png"


def in_runs(groups: int, each: int) -> Iterator[tuple[int, int]]:
    """Yield every message (group and number): in order within its group, in runs of one to four of a group."""
    for first in range(0, each, 10):
        for run, length in enumerate((1, 4, 2, 3)):
            start = first + sum((1, 4, 2, 3)[:run])
            for group in range(groups):
                for number in range(start, start + length):
                    yield group, number


def originals(groups: int, each: int) -> Iterator[tuple[str, bytes]]:
    for group in range(groups):
        for number in range(each):
            body = images.encoded(Image.new("RGB", (8, 6), (5 * group, 12 * number, 99)), "PNG")
            yield source(group, number), body


async def send(clients: Clients, queue: str, messages: Iterator[tuple[int, int]]) -> None:
    url = (await clients.control.get_queue_url(QueueName=queue))["QueueUrl"]
    while batch := list(islice(messages, 10)):
        entries: list[Any] = [
            {
                "Id": str(position),
                "MessageBody": source(group, number),
                "MessageGroupId": f"group-{group}",
                "MessageDeduplicationId": f"{group}-{number}-{time.monotonic_ns()}",
            }
            for position, (group, number) in enumerate(batch)
        ]
        answer = await clients.control.send_message_batch(QueueUrl=url, Entries=entries)
        assert len(answer["Successful"]) == len(batch)


def jobs_done(place: Place) -> int:
    return sum(replica.stderr().count('"job.done"') for replica in place.replicas)


async def kill_one(place: Place, number: int, *, at: int) -> None:
    """Kill a replica once so many jobs are done, and start another one in its place."""
    await until(lambda: jobs_done(place) >= at, within_s=30, what=lambda: f"{at} jobs done, not {jobs_done(place)}")
    place.replicas[number].signal(signal.SIGKILL)
    await place.replica(**SETTINGS)


@pytest.mark.long
@pytest.mark.parametrize(("groups", "each"), [(50, 20)])
async def test_groups_keep_their_order_over_three_replicas_and_kill_9(
    place: Place, clients: Clients, record_property: Callable[[str, object], None], groups: int, each: int
) -> None:
    bucket, queue = place.environment["THUMBQ_BUCKET"], place.environment["THUMBQ_QUEUE"]
    await clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    await put_unsigned(place, originals(groups, each), content_type="image/png")
    await send(clients, queue, in_runs(groups, each))
    begun_at = anyio.current_time()
    async with anyio.create_task_group() as starts:
        for _ in range(3):
            starts.start_soon(lambda: place.replica(**SETTINGS))
    for number, share in enumerate(KILL_AT):
        await kill_one(place, number, at=int(share * groups * each))
    await place.queue_empty(within_s=40)
    record_property(
        f"seconds for {groups * each} messages, starts and two kills", round(anyio.current_time() - begun_at, 1)
    )

    # Once more, so that there are renders that were done twice whatever the kills have hit.
    for group in range(groups):
        manifest = keys.manifest_key(source(group, each - 1))
        await clients.s3.delete_object(Bucket=bucket, Key=manifest)
    await send(clients, queue, ((group, each - 1) for group in range(groups)))
    await place.queue_empty(within_s=20)

    made = await versions(clients, bucket, "thumbnail/")
    done = await versions(clients, bucket, keys.MANIFESTS_PREFIX)
    assert len(made) == len(done) == groups * each
    assert [line for replica in place.replicas for line in replica.events("job.failed")] == []
    twice = [of_key for of_key in made.values() if len(of_key.put_at) > 1]
    assert len(twice) >= groups
    assert {len(of_key.etags) for of_key in made.values()} == {1}, "every version has the same bytes"
    assert len(set.union(*(of_key.etags for of_key in made.values()))) == groups * each, "and no other image's"
    assert out_of_order(made, done, groups, each) == []

    ended = [line for replica in place.replicas for line in replica.events("job.done")]
    again = [line for line in ended if line["receive_count"] > 1]
    record_property("messages received again, renders done twice", (len(again), len(twice)))
    assert again, "the kills have hit work"


def out_of_order(made: dict[str, Versions], done: dict[str, Versions], groups: int, each: int) -> list[str]:
    """Return each message that was begun before the one before it was done: what the store was given, and when."""
    wrong = []
    for group in range(groups):
        for before, number in pairwise(range(each)):
            done_at = min(done[keys.manifest_key(source(group, before))].put_at)
            made_at = min(made[f"thumbnail/{group:02}-{number:02}.jpg"].put_at)
            if made_at <= done_at:
                wrong.append(f"{source(group, number)}: made at {made_at}, the one before was done at {done_at}")
    return wrong


@pytest.mark.long
async def test_dead_letters_of_a_fifo_queue_are_listed_and_redriven_in_order(place: Place) -> None:
    replica = await place.replica(**SETTINGS)
    names = [f"gone/{number}.jpg" for number in range(5)]
    async with place.backend() as backend:
        for name in names:
            await backend.queue.send(name, group="album")
        await until(lambda: len(replica.events("message.buried")) == 5, within_s=20, what=replica.stderr)
        for name in names:
            await backend.store.put(ObjectRef(backend.bucket, name), images.small_jpeg(), content_type="image/jpeg")
        listed = await thumbq(place, "dlq", "list", "--json")
        assert [json.loads(line)["key"] for line in listed.splitlines()] == names
        assert (await thumbq(place, "dlq", "redrive", "--all")).splitlines()[-1] == b"redriven: 5"
        await place.queue_empty()
    assert [line["job_id"] for line in replica.events("job.done")] == names


async def thumbq(place: Place, *arguments: str) -> bytes:
    done = await place.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout

"""Dead letters and originals by the thousand: the commands are right, quick, and bounded in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import uuid
from collections import Counter
from contextlib import closing
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from support.replicas.place import Place, opened, put_unsigned, set_up
from support.replicas.replica import THUMBQ
from support.servers.emulators import aws_env, without_aws
from thumbq.aws.session import open_clients
from thumbq.core import keys
from thumbq.core.deadletter import ATTRIBUTE, Note
from thumbq.local import blobnames, schema
from thumbq.local.blobnames import Description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from types_aiobotocore_sqs.type_defs import MessageAttributeValueTypeDef

    from support.figures import AtMost

LETTERS = 5_000
ORIGINALS = 20_000
JOBS = 200_000
MIB = 1 << 20
GROWTH_MIB = 8

pytestmark = pytest.mark.measured

_MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode;"
    " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
)


async def run(place: Place, *arguments: str) -> tuple[list[str], float, int]:
    """Run a command that must end well; return its lines, how many seconds it took, and its peak memory in bytes."""
    command = [sys.executable, "-c", _MEASURE, THUMBQ, *arguments]
    started = time.monotonic()
    done = await anyio.run_process(
        command, env=without_aws(os.environ) | place.environment, check=False, stdout=PIPE, stderr=PIPE
    )
    took = time.monotonic() - started
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.decode().splitlines(), took, int(done.stderr.split()[-1]) * 1024


async def local_place(directory: Path, *statements: tuple[str, Iterable[tuple[object, ...]]]) -> Place:
    """Make a local backend and fill its tables directly: a put or a burial each would take minutes."""
    place = Place(directory, {"THUMBQ_LOCAL": str(directory / "data")})
    async with place.backend():
        pass
    with closing(sqlite3.connect(directory / "data" / schema.DATABASE_NAME)) as connection, connection:
        for statement, rows in statements:
            connection.executemany(statement, rows)
    return place


def letters(number: int) -> tuple[str, Iterator[tuple[object, ...]]]:
    def rows() -> Iterator[tuple[object, ...]]:
        for index in range(number):
            note = Note("truncated", "the image ends early", f"m-{index}", 2).encode()
            yield str(uuid.uuid4()), body_of(index), note, 1.7e9 + index

    return (
        "INSERT INTO dead_letters (id, body, note, sent_at, buried_at, receive_count) VALUES (?, ?, ?, ?, 0, 0)",
        rows(),
    )


def body_of(index: int) -> str:
    return json.dumps({"bucket": "local", "key": keys.upload_key(keys.new_id(index, index))})


def objects(named: Iterable[str]) -> tuple[str, Iterator[tuple[object, ...]]]:
    rows = (("local", key, uuid.uuid4().hex, 500, "e", "image/jpeg", "{}", 1.7e9) for key in named)
    return "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows


def originals(number: int) -> list[str]:
    return sorted(keys.upload_key(keys.new_id(index, index * 7919)) for index in range(number))


def is_lost(index: int) -> bool:
    return index % 13 == 0


async def place_with_originals(directory: Path, number: int) -> Place:
    sources = originals(number)
    done = [keys.manifest_key(key) for index, key in enumerate(sources) if not is_lost(index)]
    return await local_place(directory, objects([*sources, *done]))


def queued(directory: Path) -> Counter[str]:
    """Return the bodies of all messages that wait."""
    with closing(sqlite3.connect(directory / "data" / schema.DATABASE_NAME)) as connection:
        return Counter(body for (body,) in connection.execute("SELECT body FROM messages"))


async def test_5000_dead_letters_are_listed_in_bounded_memory(
    tmp_path: Path, record_property: Callable[[str, object], None], at_most: AtMost
) -> None:
    few = await local_place(tmp_path / "few", letters(LETTERS // 20))
    many = await local_place(tmp_path / "many", letters(LETTERS))
    _, _, base = await run(few, "dlq", "list", "--json")
    lines, took, peak = await run(many, "dlq", "list", "--json")
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) == LETTERS
    record_property(f"list of {LETTERS}", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    at_most("MiB more than for a twentieth", (peak - base) / MIB, GROWTH_MIB)


async def test_5000_dead_letters_are_redriven_in_bounded_memory(
    tmp_path: Path, record_property: Callable[[str, object], None], at_most: AtMost
) -> None:
    few = await local_place(tmp_path / "few", letters(LETTERS // 20))
    many = await local_place(tmp_path / "many", letters(LETTERS))
    _, _, base = await run(few, "dlq", "redrive", "--all")
    lines, took, peak = await run(many, "dlq", "redrive", "--all")
    assert lines[-1] == f"redriven: {LETTERS}"
    record_property(f"redrive of {LETTERS}", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    at_most("MiB more than for a twentieth", (peak - base) / MIB, GROWTH_MIB)
    assert queued(tmp_path / "many") == Counter(body_of(index) for index in range(LETTERS))
    assert (await many.counts()).dead == 0


async def test_20000_originals_are_reconciled_in_bounded_memory(
    tmp_path: Path, record_property: Callable[[str, object], None], at_most: AtMost
) -> None:
    few = await place_with_originals(tmp_path / "few", ORIGINALS // 20)
    many = await place_with_originals(tmp_path / "many", ORIGINALS)
    _, _, base = await run(few, "reconcile", "--apply")
    expected = [key for index, key in enumerate(originals(ORIGINALS)) if is_lost(index)]
    dry, took, peak = await run(many, "reconcile")
    assert [line.split("\t")[2] for line in dry[:-1]] == expected
    record_property(f"{ORIGINALS} keys", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    at_most("MiB more than for a twentieth", (peak - base) / MIB, GROWTH_MIB)
    applied, took, peak = await run(many, "reconcile", "--apply", "--json")
    assert [json.loads(line)["key"] for line in applied] == expected
    record_property(f"{len(expected)} queued", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    at_most("MiB more than for a twentieth", (peak - base) / MIB, GROWTH_MIB)
    assert queued(tmp_path / "many") == Counter(f'{{"bucket": "local", "key": "{key}"}}' for key in expected)


def fill_with_jobs(directory: Path, number: int) -> None:
    """Give a directory the original, the rendition and the manifest of each job: rows, and links to one file."""
    one = directory / "one"
    one.write_bytes(b"x")
    rows = []
    for index in range(number):
        source = keys.upload_key(keys.new_id(index, index))
        for key in (source, f"thumbnail/{index}.jpg", keys.manifest_key(source)):
            blob = blobnames.new(Description(key, "image/jpeg"), max_bytes=255)
            os.link(one, directory / "objects" / blob[:2] / blob)
            rows.append(("local", key, blob, 1, "e", "image/jpeg", "{}", 1.7e9))
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as connection, connection:
        connection.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


@pytest.mark.timeout(240)
async def test_a_start_with_200000_jobs_is_as_quick_as_one_with_none(tmp_path: Path, at_most: AtMost) -> None:
    async def ready_s(name: str) -> float:
        """Return the better of two starts."""
        took = []
        for _ in range(2):
            folder = tmp_path / uuid.uuid4().hex
            async with opened(folder, {"THUMBQ_LOCAL": str(tmp_path / name)}) as place:
                started = time.monotonic()
                await place.replica()
                took.append(time.monotonic() - started)
        return min(took)

    none = await ready_s("none")
    await ready_s("many")
    await to_thread.run_sync(fill_with_jobs, tmp_path / "many", JOBS)
    at_most(f"seconds more to be ready with {JOBS} jobs", await ready_s("many") - none, 1.5)


@pytest.fixture
async def on_sqs(ministack_url: str, tmp_path: Path) -> Place:
    return Place(tmp_path, await set_up(ministack_url))


async def fill_dead_letter_queue(place: Place, endpoint: str, number: int) -> None:
    value = Note("truncated", "the image ends early", "m", 2).encode()
    note: MessageAttributeValueTypeDef = {"DataType": "String", "StringValue": value}
    with aws_env(endpoint):
        async with open_clients(connections=8, wait_time_s=1) as clients:
            dead = await clients.control.get_queue_url(QueueName=f"{place.environment['THUMBQ_QUEUE']}-dlq")
            for start in range(0, number, 10):
                await clients.control.send_message_batch(
                    QueueUrl=dead["QueueUrl"],
                    Entries=[
                        {"Id": str(index), "MessageBody": body_of(index), "MessageAttributes": {ATTRIBUTE: note}}
                        for index in range(start, start + 10)
                    ],
                )


async def test_thousands_of_dead_letters_on_sqs_are_listed_and_given_back_and_redriven(
    on_sqs: Place, ministack_url: str, record_property: Callable[[str, object], None]
) -> None:
    await fill_dead_letter_queue(on_sqs, ministack_url, LETTERS)
    lines, took, peak = await run(on_sqs, "dlq", "list", "--json")
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) == LETTERS
    record_property(f"list of {LETTERS} on SQS", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    async with on_sqs.backend() as backend:
        assert backend.dead_letters is not None
        assert len(await backend.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=0)) == 10

    lines, took, peak = await run(on_sqs, "dlq", "redrive", "--all")
    assert lines[-1] == f"redriven: {LETTERS}"
    record_property(f"redrive of {LETTERS} on SQS", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    counts = await on_sqs.counts()
    assert (counts.visible, counts.dead) == (LETTERS, 0)


async def test_pages_of_s3_are_reconciled(on_sqs: Place, record_property: Callable[[str, object], None]) -> None:
    sources = originals(2_100)
    lost = [key for index, key in enumerate(sources) if is_lost(index)]
    done = [keys.manifest_key(key) for index, key in enumerate(sources) if not is_lost(index)]
    await put_unsigned(on_sqs, ((key, b"{}") for key in [*sources, *done]), content_type="application/json")
    lines, took, peak = await run(on_sqs, "reconcile", "--older-than", "0", "--apply", "--json")
    assert [json.loads(line)["key"] for line in lines] == lost
    record_property(f"{len(sources)} keys on S3", f"{took:.1f} s, {peak / MIB:.0f} MiB")
    assert (await on_sqs.counts()).visible == len(lost)

"""Every form of message, from the queue to its end; several jobs in one; what an original's metadata asks for."""

from __future__ import annotations

import json
import random
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from support import documents
from support.aws.event_bodies import FORMS, hostile, no_jobs, record, s3_event
from support.backends import open_aws, open_local
from support.documents import MESSAGES
from support.doubles.clocks import SystemClock
from support.doubles.consuming import consuming, done, put, settled
from support.doubles.rendering import FakeRenderer
from support.servers.emulators import aws_env
from thumbq.aws.provision import provision
from thumbq.core import keys
from thumbq.core.failedmessage import FailedMessage
from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from thumbq.ports import Backend

EXAMPLE_KEY = "photos/my cat (+1).png"
LARGE = 100_000
"""One body larger than that is enough for an emulator."""


@asynccontextmanager
async def opened_aws(endpoint: str, ending: str) -> AsyncIterator[Backend]:
    name = f"forms-{uuid.uuid4().hex[:12]}"
    with aws_env(endpoint):
        await provision(bucket=name, queues=[name + ending])
        async with open_aws(bucket=name, queue=name + ending, wait_time_s=1) as backend:
            yield backend


@pytest.fixture(params=["local", "standard", "fifo"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def place(kind: str, ministack_url: str, tmp_path: Path) -> AsyncIterator[Backend]:
    if kind == "local":
        opened = open_local(tmp_path / "data", clock=SystemClock())
    else:
        opened = opened_aws(ministack_url, ".fifo" if kind == "fifo" else "")
    async with opened as backend:
        yield backend


async def send(backend: Backend, bodies: Sequence[str]) -> None:
    """Send messages, in three groups where the queue has groups."""
    for number, body in enumerate(bodies):
        await backend.queue.send(body, group=f"group-{number % 3}" if backend.fifo else None)


async def failed_messages(backend: Backend) -> list[FailedMessage]:
    """Return the records of messages that were no jobs of this bucket."""
    listed = await backend.store.list(backend.bucket, prefix=keys.FAILED_MESSAGES_PREFIX)
    raw = [await backend.store.get(ObjectRef(backend.bucket, entry.key), max_bytes=4 << 20) for entry in listed]
    return [record for _, body in raw if (record := FailedMessage.decode(body)) is not None]


@pytest.mark.real_time
async def test_every_form_is_done_what_is_no_job_is_taken_away_and_what_is_hostile_is_buried(
    kind: str, place: Backend
) -> None:
    jobs = {f"photos/{name} 100%+é😀.png": form for name, form in FORMS.items()}
    jobs |= {"x" * 1024: FORMS["S3 event in SNS"], " spaced .png ": FORMS["bare key"]}
    for key in jobs:
        await put(place, key)
    bad = {**hostile(), "another bucket": s3_event(record("elsewhere", "a.png")), "no preset": own_with(["magic"])}
    if kind != "local":
        large = "1 MiB of arrays"
        bad = {name: body for name, body in bad.items() if len(body) < LARGE or name == large}
    good = [form(place.bucket, key) for key, form in jobs.items()] + list(no_jobs(place.bucket).values())
    bodies = [*good, *bad.values()]
    random.Random(5).shuffle(bodies)
    await send(place, bodies)
    async with consuming(place, FakeRenderer(), wait_time_s=1, concurrency=10):
        await settled(place, dead=len(bad), within_s=30)
    for key in jobs:
        await done(place, key)
    kept = await failed_messages(place)
    assert {record.body for record in kept} == set(bad.values()) - {own_with(["magic"])}
    assert {record.error.code for record in kept} == {"malformed-message", "bucket-not-allowed"}
    assert all(record.error.message and record.receive_count == 1 for record in kept)
    stored = await place.store.list(place.bucket, prefix=keys.MANIFESTS_PREFIX)
    assert len(stored) == len(jobs) + 1, "one of the unknown preset, none of what was no job"


def own_with(presets: Sequence[str]) -> str:
    return json.dumps({"key": "no-preset.png", "presets": presets})


async def test_the_documented_examples_are_what_the_document_says_they_are(backend: Backend) -> None:
    shown = [example.removesuffix("\n") for example in documents.examples(MESSAGES, "Messages", "json", "text")]
    no_job = documents.example(MESSAGES, "Ignored messages", "json").removesuffix("\n")
    assert (len(shown), shown[-1]) == (8, no_job)
    renderer = FakeRenderer()
    async with consuming(backend, renderer):
        for number, example in enumerate(shown, 1):
            await put(backend, EXAMPLE_KEY, str(number).encode())
            await backend.queue.send(example.replace("sample-bucket", backend.bucket))
            await settled(backend)
            assert renderer.renders == min(number, len(shown) - 1), example
    found = await done(backend, EXAMPLE_KEY)
    assert list(found.renditions) == ["thumbnail"]

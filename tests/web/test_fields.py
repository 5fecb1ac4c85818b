"""The fields of an upload's form: what they ask for, and what is refused."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from support.servers.web import JPEG, FaultyBackend, Served, WallClock, serve
from thumbq.core import message, objectmetadata
from thumbq.core.preset import BUILT_IN
from thumbq.intake.uploads import UploadIntake
from thumbq.local import open_local_queues
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from thumbq.core.job import JobRequest
    from thumbq.ports import Backend, ReceivedMessage

URL = "https://example.com/done"
FILE = ("file", JPEG)


@dataclass(frozen=True)
class Form:
    """A service with the queues ``low`` (the default one), ``high``, and ``ordered``, which is FIFO."""

    served: Served
    queues: dict[str, Backend]

    async def send(self, *parts: tuple[str, str | bytes]) -> tuple[int, dict[str, Any]]:
        form = aiohttp.FormData()
        for name, content in parts:
            body = content if isinstance(content, str) else BytesIO(content)
            form.add_field(name, body, filename="cat.jpg" if name == "file" else None)
        async with self.served.http.post("/upload", data=form) as answer:
            return answer.status, await answer.json(content_type=None)

    async def received(self, queue: str) -> Sequence[ReceivedMessage]:
        return await self.queues[queue].queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)

    async def job(self, queue: str) -> tuple[JobRequest, str | None]:
        """Return the one job in a queue, and its message group."""
        [received] = await self.received(queue)
        [job] = message.parse(received.body, default_bucket="local").jobs
        return job, received.group

    async def sent(self) -> int:
        return sum([(await backend.queue.counts()).visible for backend in self.queues.values()])

    async def stored(self) -> int:
        return len(await self.queues["low"].store.list("local", prefix="uploads/"))


@pytest.fixture
async def form(tmp_path: Path, behind: FaultyBackend) -> AsyncIterator[Form]:
    clock = WallClock()
    async with open_local_queues(tmp_path, clock=clock, queues=("low", "high", "ordered.fifo")) as backends:
        queues = dict(zip(("low", "high", "ordered"), backends, strict=True))
        presets = [preset.name for preset in BUILT_IN]
        intake = UploadIntake(backend=backends[0], clock=clock, random=random.Random(1), queues=queues, presets=presets)
        async with serve(replace(behind, intake=intake), UploadLimits()) as served:
            yield Form(served, queues)


async def test_a_priority_chooses_the_queue_and_without_one_it_is_the_default(form: Form) -> None:
    assert (await form.send(("priority", "high"), FILE, FILE))[0] == 201
    assert len(await form.received("high")) == 2
    assert (await form.send(FILE))[0] == 201
    assert await form.job("low")


async def test_presets_and_callback_go_with_the_message_and_stay_with_the_original(form: Form) -> None:
    names = [preset.name for preset in BUILT_IN]
    status, answer = await form.send(
        ("presets", f" {names[1]},{names[0]}"), ("presets", names[0]), ("callback_url", URL), FILE
    )
    assert status == 201
    [entry] = answer["data"]["jobs"]
    assert list(entry["renditions"]) == [names[1], names[0]]
    job, group = await form.job("low")
    assert (job.presets, job.callback_url, group) == ((names[1], names[0]), URL, None)
    metadata = (await form.queues["low"].store.head(job.source)).metadata
    assert (objectmetadata.presets(metadata), objectmetadata.callback_url(metadata)) == (job.presets, URL)
    async with form.served.http.get(entry["url"]) as queued:
        assert list((await queued.json())["data"]["renditions"]) == [names[1], names[0]]


async def test_metadata_is_told_with_the_job_and_stays_with_the_original_and_not_in_the_message(form: Form) -> None:
    fields = ("metadata[album]", "Ferien & Meer"), ("metadata[user_id]", "7")
    status, answer = await form.send(*fields, FILE, FILE)
    assert status == 201
    said = {"album": "Ferien & Meer", "user_id": "7"}
    assert [entry["metadata"] for entry in answer["data"]["jobs"]] == [said, said]
    received = await form.received("low")
    assert not any("Meer" in each.body for each in received)
    async with form.served.http.get(answer["data"]["jobs"][0]["url"]) as queued:
        assert (await queued.json())["data"]["metadata"] == said


@pytest.mark.parametrize(
    ("fields", "queue", "group"),
    [
        ([("priority", "ordered"), ("group", "album-7")], "ordered", "album-7"),
        ([("priority", "ordered"), ("group", "Ferien am Meer ü")], "ordered", message.group_id("Ferien am Meer ü")),
        ([("tenant", "customer-1")], "low", "customer-1"),
        ([("tenant", "customer-1"), ("priority", "high")], "high", "customer-1"),
    ],
)
async def test_a_group_and_a_tenant_are_the_message_group(
    fields: list[tuple[str, str]], queue: str, group: str, form: Form
) -> None:
    assert (await form.send(*fields, FILE))[0] == 201
    assert (await form.job(queue))[1] == group


async def test_on_a_fifo_queue_each_original_is_a_group_of_its_own_unless_one_is_named(form: Form) -> None:
    assert (await form.send(("priority", "ordered"), FILE))[0] == 201
    job, group = await form.job("ordered")
    assert group == job.source.key


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([("priority", "urgent")], "unknown-priority"),
        ([("presets", "thumbnail,poster")], "unknown-preset"),
        ([("group", "a")], "group-not-taken"),
        ([("tenant", "a"), ("priority", "ordered")], "tenant-not-taken"),
        ([("callback_url", "ftp://example.com/")], "invalid-callback-url"),
        ([("callback_url", f"https://example.com/{'a' * 1900}")], "too-much-metadata"),
        ([("group", "a" * 2049)], "field-too-large"),
        ([("tenant", "")], "invalid-field"),
        ([("tenant", b"\xff")], "invalid-field"),
        ([("priority", "high"), ("priority", "low")], "invalid-field"),
        ([("metadata[a]", "1"), ("metadata[a]", "2")], "invalid-field"),
        ([("metadata[a]", " ")], "invalid-field"),
        ([("metadata[A]", "1")], "invalid-metadata"),
        ([("metadata[]", "1")], "invalid-metadata"),
        ([("metadata[a]", "x" * 500)], "invalid-metadata"),
        ([(f"metadata[n{number}]", "1") for number in range(11)], "invalid-metadata"),
    ],
)
async def test_what_cannot_be_had_is_refused_before_anything_is_stored(
    fields: list[tuple[str, str | bytes]], code: str, form: Form
) -> None:
    status, answer = await form.send(*fields, FILE, FILE)
    assert (status, answer["code"], answer["type"]) == (400, code, f"urn:thumbq:problem:{code}")
    assert (await form.stored(), await form.sent()) == (0, 0)


async def test_a_field_behind_a_file_ends_the_upload_and_what_was_taken_before_is_told(form: Form) -> None:
    status, answer = await form.send(FILE, ("priority", "high"), FILE)
    assert status == 207
    taken, refused = answer["data"]["jobs"]
    assert taken["status"] == "queued"
    assert refused["problem"]["code"] == "field-after-file"
    assert (await form.stored(), await form.sent()) == (1, 1)


async def test_other_fields_are_passed_over_wherever_they_stand(form: Form) -> None:
    assert (await form.send(("album", "x" * 5000), FILE, ("note", "y" * 5000), FILE))[0] == 201
    assert await form.sent() == 2


async def test_a_field_of_just_2_kib_is_taken(form: Form) -> None:
    assert (await form.send(("tenant", "t" * 2048), FILE))[0] == 201


async def test_a_service_with_one_queue_says_that_a_priority_is_to_be_left_out(served: Served) -> None:
    data = aiohttp.FormData({"priority": "high"})
    data.add_field("file", JPEG, filename="cat.jpg")
    async with served.http.post("/upload", data=data) as answer:
        document = await answer.json(content_type=None)
    assert (answer.status, document["code"]) == (400, "unknown-priority")
    assert "there is only one: leave it out" in document["detail"]

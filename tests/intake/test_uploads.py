from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.patience import within
from support.servers.web import JPEG, FaultyBackend, open_faulty
from thumbq.core import filenames, message
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.core.keys import upload_id, upload_key
from thumbq.errors import (
    AccessDenied,
    BackendUnavailable,
    NotSent,
    ObjectExists,
    SendRefused,
    UploadRefused,
)
from thumbq.intake.uploads import UploadIntake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FaultyBackend]:
    async with open_faulty(tmp_path) as behind:
        yield behind


class FixedClock:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_800_000_000.0


async def queued(behind: FaultyBackend) -> list[JobRequest]:
    received = await behind.real.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=30)
    return [job for each in received for job in message.parse(each.body, default_bucket="other").jobs]


async def test_an_accepted_file_is_stored_and_queued(behind: FaultyBackend) -> None:
    accepted = await behind.intake.accept(JPEG, filename="cat.jpg")
    assert accepted.id is not None
    assert accepted.source == ObjectRef(behind.real.bucket, upload_key(accepted.id))
    assert (accepted.size, accepted.content_type) == (len(JPEG), "image/jpeg")
    info = await behind.real.store.head(accepted.source)
    assert (info.content_type, filenames.decode(info.metadata)) == ("image/jpeg", "cat.jpg")
    assert await queued(behind) == [JobRequest(accepted.source)]


async def test_an_accepted_upload_is_logged_so_that_its_job_can_be_followed(behind: FaultyBackend) -> None:
    with capture_logs() as logs:
        accepted = await behind.intake.accept(JPEG, filename="secret-name.jpg")
    assert logs == [
        {
            "event": "upload.accepted",
            "log_level": "info",
            "job_id": accepted.id,
            "message_id": accepted.message_id,
            "bytes": len(JPEG),
            "content_type": "image/jpeg",
        }
    ]


@pytest.mark.parametrize("held", ["put", "send"])
async def test_a_backend_that_never_answers_is_unavailable_and_the_original_stays(
    behind: FaultyBackend, held: str
) -> None:
    faults = behind.store if held == "put" else behind.queue
    faults.gates[held] = anyio.Event()
    with within(5), pytest.raises(BackendUnavailable, match=r"0\.05 s"):
        await behind.intake.accept(JPEG, filename=None, within_s=0.05)
    assert behind.store.calls == ["put"]


async def test_a_key_of_the_callers_own_is_overwritten_and_has_no_id(behind: FaultyBackend) -> None:
    await behind.intake.accept(JPEG, filename=None, key="pngfiles/猫.png")
    accepted = await behind.intake.accept(JPEG + b"new", filename=None, key="pngfiles/猫.png")
    assert (accepted.id, accepted.source.key, accepted.filename) == (None, "pngfiles/猫.png", None)
    _, body = await behind.real.store.get(accepted.source, max_bytes=1000)
    assert body == JPEG + b"new"
    assert await queued(behind) == [JobRequest(accepted.source)] * 2


@pytest.mark.parametrize(("body", "code"), [(b"", "empty-file"), (b"%PDF-1.7", "unsupported-format")])
async def test_what_is_no_image_never_reaches_the_store(behind: FaultyBackend, body: bytes, code: str) -> None:
    with pytest.raises(UploadRefused) as refused:
        await behind.intake.accept(body, filename="a.jpg")
    assert refused.value.code == code
    assert behind.store.calls == behind.queue.calls == []


async def test_an_id_that_is_taken_is_drawn_again_and_nothing_is_overwritten(behind: FaultyBackend) -> None:
    def intake() -> UploadIntake:
        return UploadIntake(backend=behind.backend, clock=FixedClock(), random=random.Random(7))

    first = await intake().accept(JPEG, filename="first")
    second = await intake().accept(JPEG + b"2", filename="second")
    assert first.source != second.source
    assert second.id == upload_id(second.source.key)
    _, body = await behind.real.store.get(first.source, max_bytes=1000)
    assert body == JPEG
    behind.store.errors["put"] = ObjectExists("always")
    with pytest.raises(ObjectExists):
        await intake().accept(JPEG, filename=None)


async def test_keys_are_spread_over_as_many_prefixes_as_are_asked_for(behind: FaultyBackend) -> None:
    intake = UploadIntake(backend=behind.backend, clock=FixedClock(), random=random.Random(7), key_prefixes=4)
    accepted = [await intake.accept(JPEG, filename=None) for _ in range(40)]
    folders = Counter(each.source.key.rpartition("/")[0] for each in accepted)
    assert set(folders) == {"uploads/-w", "uploads/-x", "uploads/-y", "uploads/-z"}
    assert min(folders.values()) > 3
    assert all(each.id == upload_id(each.source.key) for each in accepted)


@pytest.mark.parametrize("error", [SendRefused("no such queue"), NotSent("throttled"), AccessDenied("no")])
async def test_a_refused_send_removes_the_original(behind: FaultyBackend, error: Exception) -> None:
    behind.queue.errors["send"] = error
    with pytest.raises(type(error)):
        await behind.intake.accept(JPEG, filename=None)
    assert behind.store.calls == ["put", "delete"]


async def test_a_removal_that_fails_does_not_hide_the_refusal(behind: FaultyBackend) -> None:
    behind.queue.errors["send"] = SendRefused("no such queue")
    behind.store.errors["delete"] = BackendUnavailable("down as well")
    with pytest.raises(SendRefused, match="no such queue"):
        await behind.intake.accept(JPEG, filename=None)


async def test_an_original_under_the_callers_key_stays_when_the_send_is_refused(behind: FaultyBackend) -> None:
    behind.queue.errors["send"] = SendRefused("no such queue")
    with pytest.raises(SendRefused):
        await behind.intake.accept(JPEG, filename=None, key="cat.jpg")
    assert (await behind.real.store.head(ObjectRef(behind.real.bucket, "cat.jpg"))).size == len(JPEG)


@pytest.mark.parametrize("error", [BackendUnavailable("lost"), RuntimeError("who knows")])
async def test_after_an_unknown_outcome_the_original_stays(behind: FaultyBackend, error: Exception) -> None:
    behind.queue.lost_answers["send"] = error
    with pytest.raises(type(error)):
        await behind.intake.accept(JPEG, filename=None)
    (request,) = await queued(behind)
    assert (await behind.real.store.head(request.source)).size == len(JPEG)


@pytest.mark.parametrize("held", ["put", "send"])
@pytest.mark.parametrize("natively", [True, False])
async def test_a_cancelled_call_ends_what_it_began(behind: FaultyBackend, *, held: str, natively: bool) -> None:
    faults = behind.store if held == "put" else behind.queue
    gate = faults.gates[held] = anyio.Event()
    ended = anyio.Event()

    async def accept() -> None:
        try:
            await behind.intake.accept(JPEG, filename=None)
        finally:
            ended.set()

    if natively:
        task = asyncio.create_task(accept())
        await faults.until_called(held)
        for _ in range(3):
            task.cancel()
            await anyio.lowlevel.checkpoint()
        assert not ended.is_set()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            await faults.until_called(held)
            tasks.cancel_scope.cancel()
            gate.set()
    assert ended.is_set()
    (request,) = await queued(behind)
    assert (await behind.real.store.head(request.source)).size == len(JPEG)

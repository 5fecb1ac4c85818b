"""Callbacks over HTTP: those that could never be called are refused at once, and others can be sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from support.doubles.calling import RULES, URL
from support.servers.web import JPEG, FaultyBackend, Served, form, open_faulty, serve
from thumbq.core import callbackmessage, keys
from thumbq.core.catalog import Catalog, CatalogInForce
from thumbq.core.job import ObjectRef
from thumbq.core.links import NO_BASE
from thumbq.core.manifest import Manifest, SourceRecord
from thumbq.web.app import UploadLimits
from thumbq.webhooks.sender import CallbackSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ELSEWHERE = "https://elsewhere.example.com/"
NO_ID = "0" * 26


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FaultyBackend]:
    async with open_faulty(tmp_path, RULES) as behind:
        yield behind


@pytest.fixture
async def served(behind: FaultyBackend) -> AsyncIterator[Served]:
    # Its callbacks go to the one queue that there is, where a test can read them.
    sender = CallbackSender(behind.real.queue, behind.real.store, RULES, None, CatalogInForce(Catalog({}, ())), NO_BASE)
    async with serve(behind, UploadLimits(), callbacks=sender) as served:
        yield served


async def upload(served: Served, url: str | None) -> tuple[int, dict[str, Any]]:
    data = form()
    if url is not None:
        data.add_field("callback_url", url)
    data.add_field("file", JPEG, filename="cat.jpg")
    async with served.http.post("/upload", data=data) as answer:
        return answer.status, await answer.json(content_type=None)


async def end(served: Served, job_id: str, url: str | None) -> Manifest:
    real = served.behind.real
    manifest = Manifest(
        status="done",
        source=SourceRecord(bucket=real.bucket, key=keys.upload_key(job_id), content_type="image/jpeg"),
        callback_url=url,
        message_id="m-1",
        finished_at=datetime.now(UTC),
    )
    ref = ObjectRef(real.bucket, keys.manifest_key(manifest.source.key))
    await real.store.put(ref, manifest.encode(), content_type="application/json")
    return manifest


async def send_again(served: Served, job_id: str) -> tuple[int, dict[str, Any]]:
    async with served.http.post(f"/jobs/{job_id}/webhook") as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_callback_that_could_never_be_called_is_refused_and_nothing_is_stored(served: Served) -> None:
    status, problem = await upload(served, ELSEWHERE)
    assert (status, problem["code"]) == (400, "callback-not-allowed")
    assert "hosts of [webhooks]" in problem["detail"]
    asked = {"content_type": "image/jpeg", "callback_url": ELSEWHERE}
    async with served.http.post("/uploads", json=asked) as answer:
        problem = await answer.json(content_type=None)
    assert (answer.status, problem["code"]) == (400, "callback-not-allowed")
    assert "hosts of [webhooks]" in problem["detail"]
    assert served.behind.store.calls == []
    assert served.behind.queue.calls == []


async def test_others_are_taken(served: Served) -> None:
    assert (await upload(served, URL))[0] == 201
    async with served.http.post("/uploads", json={"content_type": "image/jpeg", "callback_url": URL}) as answer:
        assert answer.status == 201


async def test_without_the_table_every_callback_is_kept(tmp_path: Path) -> None:
    async with open_faulty(tmp_path) as behind, serve(behind, UploadLimits()) as served:
        assert (await upload(served, ELSEWHERE))[0] == 201
        status, problem = await send_again(served, NO_ID)
        assert (status, problem["code"]) == (404, "no-job")
        await end(served, NO_ID, URL)
        status, problem = await send_again(served, NO_ID)
        assert (status, problem["code"]) == (409, "no-callback")


async def test_a_callback_is_sent_again_under_its_id(served: Served) -> None:
    manifest = await end(served, NO_ID, URL)
    status, answer = await send_again(served, NO_ID)
    assert status == 202
    assert answer["data"] == {"webhook_id": callbackmessage.callback_id(manifest)}
    [message] = await served.behind.real.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=1)
    callback = callbackmessage.decode(message.body)
    assert (callback.id, callback.url) == (answer["data"]["webhook_id"], URL)
    async with served.http.get(f"/jobs/{NO_ID}") as got:
        assert callback.body["data"] == (await got.json())["data"]


@pytest.mark.parametrize("url", [None, ELSEWHERE])
async def test_a_job_with_nobody_to_call_has_no_callback(served: Served, url: str | None) -> None:
    await end(served, NO_ID, url)
    status, problem = await send_again(served, NO_ID)
    assert (status, problem["code"]) == (409, "no-callback")


async def test_a_job_that_has_not_ended_has_none_yet(served: Served) -> None:
    _, document = await upload(served, URL)
    status, problem = await send_again(served, document["data"]["jobs"][0]["id"])
    assert (status, problem["code"]) == (409, "job-not-ended")


@pytest.mark.parametrize("job_id", [NO_ID, "x"])
async def test_where_there_is_no_job_there_is_none(served: Served, job_id: str) -> None:
    status, problem = await send_again(served, job_id)
    assert (status, problem["code"]) == (404, "no-job")


async def test_a_preset_may_be_called_webhook_all_the_same(served: Served) -> None:
    async with served.http.get(f"/jobs/{NO_ID}/webhook") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "no-job")


async def test_of_a_deleted_job_nobody_is_told(served: Served) -> None:
    gone = (await end(served, NO_ID, URL)).model_copy(update={"status": "deleted"})
    ref = ObjectRef(served.behind.real.bucket, keys.manifest_key(keys.upload_key(NO_ID)))
    await served.behind.real.store.put(ref, gone.encode(), content_type="application/json")
    status, problem = await send_again(served, NO_ID)
    assert (status, problem["code"]) == (410, "deleted")

"""Callbacks: sent when a job has ended, called until an endpoint takes them, and no endpoint holds up another."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from standardwebhooks.webhooks import Webhook

from support import documents
from support.documents import CALLBACKS
from support.doubles.calling import SECRETS, URL, Call, Endpoints, calling
from support.doubles.clocks import SystemClock
from support.doubles.consuming import KEY, record
from support.doubles.observing import Observed
from support.doubles.rendering import FakeRenderer
from support.patience import until
from thumbq.core import callbackmessage, deadletter, jobmetadata, keys, message
from thumbq.core.callbackretry import MAX_CALLS
from thumbq.core.catalog import Catalog, CatalogInForce
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.deletion.deleting import JobDeleter
from thumbq.deletion.tombstones import Tombstones
from thumbq.errors import BackendUnavailable, NotReached, RenderRefused
from thumbq.local import schema
from thumbq.ports import Answered, QueueCounts
from thumbq.ports.observing import Attempted, Told, observed_by
from thumbq.webhooks.endpoints import CALLS_DEAD, CALLS_EACH, MAX_HELD

if TYPE_CHECKING:
    from pathlib import Path

    from support.doubles.calling import Calling


async def upload(replica: Calling, key: str = KEY, url: str | None = URL, **metadata: str) -> None:
    source, kept = ObjectRef(replica.jobs.bucket, key), jobmetadata.encode(metadata)
    await replica.jobs.store.put(source, b"original", content_type="image/jpeg", metadata=kept)
    await replica.jobs.queue.send(message.encode(JobRequest(source, callback_url=url)))


async def called(endpoints: Endpoints, number: int = 1, *, within_s: float = 10) -> list[Call]:
    await until(lambda: len(endpoints.calls) >= number, within_s=within_s, what=f"{number} calls")
    return endpoints.calls


async def notes(replica: Calling) -> list[deadletter.Note | None]:
    assert replica.callbacks.dead_letters is not None
    found = await replica.callbacks.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=1)
    return [deadletter.decode(each.note) for each in found]


def verify(call: Call, secret: str) -> None:
    """Verify a call as its endpoint does, but at the time at which it was made."""
    at = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
    expected = Webhook(secret).sign(call.id, at, call.body.decode())
    assert expected in call.headers["webhook-signature"].split(" ")


@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_a_job_that_has_ended_is_told_of_as_it_is_answered(tmp_path: Path, outcome: str) -> None:
    endpoints = Endpoints()
    renderer = FakeRenderer(*[RenderRefused("corrupt", "no picture")] * (outcome == "failed"))
    async with calling(tmp_path, endpoints, renderer) as replica:
        await upload(replica)
        [call] = await called(endpoints)
        await replica.settled()
        manifest = await record(replica.jobs)
    assert manifest is not None
    assert call.url == URL
    assert call.document["type"] == f"job.{outcome}"
    assert call.document["timestamp"].endswith("Z")
    assert datetime.fromisoformat(call.document["timestamp"]) == manifest.finished_at.replace(
        microsecond=manifest.finished_at.microsecond // 1000 * 1000
    )
    data = call.document["data"]
    assert (data["id"], data["status"], data["url"]) == (keys.upload_id(KEY), outcome, f"/jobs/{keys.upload_id(KEY)}")
    assert ("error" in data) is (outcome == "failed")


async def test_the_document_shows_what_is_posted(tmp_path: Path) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        [call] = await called(endpoints)
    assert _names(call.document) == _names(json.loads(documents.example(CALLBACKS, "Calls", "json")))
    assert set(call.headers) - {"content-type"} == set(
        re.findall(r"^\| `([a-z-]+)` \|", documents.section(CALLBACKS, "Calls"), re.MULTILINE)
    )


def _names(document: Any) -> Any:
    return {name: _names(value) for name, value in document.items()} if isinstance(document, dict) else None


async def test_a_job_without_a_callback_is_told_to_nobody_or_to_the_settings_url(tmp_path: Path) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path / "one", endpoints) as replica:
        await upload(replica, url=None)
        await until(lambda: record(replica.jobs), within_s=10, what="the end of the job")
        await anyio.sleep(60)
        assert endpoints.calls == []
    async with calling(tmp_path / "other", endpoints, default_url="https://default.hooks.example.com") as replica:
        await upload(replica, url=None)
        assert [call.url for call in await called(endpoints)] == ["https://default.hooks.example.com"]


async def test_a_url_that_may_not_be_called_fails_no_job(tmp_path: Path) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica, url="https://elsewhere.example.com/")
        manifest = await until(lambda: record(replica.jobs), within_s=10, what="the end of the job")
        await anyio.sleep(60)
    assert manifest.status == "done"
    assert endpoints.calls == []


async def test_an_original_that_was_no_upload_is_told_of_by_its_key(tmp_path: Path) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica, "pngfiles/cat.png")
        [call] = await called(endpoints)
    data = call.document["data"]
    assert data["source"] == {"bucket": "local", "key": "pngfiles/cat.png"}
    [rendition] = data["renditions"].values()
    assert {name: rendition[name] for name in ("bucket", "key", "width", "content_type")} == {
        "bucket": "local",
        "key": "jpgfiles/cat.jpg",
        "width": 1,
        "content_type": "image/jpeg",
    }


@pytest.mark.parametrize("key", [KEY, "pngfiles/cat.png"])
async def test_the_senders_metadata_is_told_too(tmp_path: Path, key: str) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica, key, order="7", name="Grüße")
        [call] = await called(endpoints)
    assert call.document["data"]["metadata"] == {"order": "7", "name": "Grüße"}


async def test_what_fails_comes_again_under_its_id_until_it_is_taken_once(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500), NotReached("no connection"), Answered(204)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        calls = await called(endpoints, 3, within_s=100)
        await replica.settled(within_s=100)
        await anyio.sleep(100)
    assert len(calls) == 3
    assert 5 <= calls[1].at - calls[0].at <= 7
    assert 30 <= calls[2].at - calls[1].at <= 35
    assert len({call.id for call in calls}) == 1
    assert "." not in calls[0].id
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["webhook-timestamp"] for call in calls}) == 3
    for call in calls:
        for secret in SECRETS:
            verify(call, secret)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 429, 500, 503])
async def test_every_other_status_comes_again(tmp_path: Path, status: int) -> None:
    endpoints = Endpoints({URL: [Answered(status)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints, 2, within_s=20)


async def test_an_endpoint_that_is_gone_is_called_once(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(410)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await replica.settled(dead=1)
        await anyio.sleep(100)
        [note] = await notes(replica)
    assert len(endpoints.calls) == 1
    assert note is not None
    assert (note.code, note.receive_count) == ("callback-gone", 1)


@pytest.mark.parametrize(("asked_s", "waited_s"), [(2, 5), (600, 600), (90_000, 43_200 - 10)])
async def test_a_longer_retry_after_is_honoured(tmp_path: Path, asked_s: float, waited_s: float) -> None:
    endpoints = Endpoints({URL: [Answered(503, asked_s)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        await anyio.sleep(1)
        with sqlite3.connect(tmp_path / schema.DATABASE_NAME) as database:
            [[left_s]] = database.execute(
                "SELECT visible_at - received_at FROM messages WHERE queue = ?", (callbackmessage.ENDING,)
            ).fetchall()
        database.close()
    assert waited_s <= left_s <= max(waited_s * 1.1, 6) + 10


async def test_the_fourteenth_failure_is_the_last(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500)] * 3})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        await anyio.sleep(1)
        with sqlite3.connect(tmp_path / schema.DATABASE_NAME) as database:
            database.execute("UPDATE messages SET receive_count = 12, visible_at = 0")
        database.close()
        await called(endpoints, 2)
        await anyio.sleep(1)
        with sqlite3.connect(tmp_path / schema.DATABASE_NAME) as database:
            database.execute("UPDATE messages SET visible_at = 0")
        database.close()
        await replica.settled(dead=1)
        [note] = await notes(replica)
    assert len(endpoints.calls) == 3
    assert note is not None
    assert note.code == "callback-failed"
    assert note.reason == "14 calls failed, the last one with: the endpoint answered 500"


async def send(replica: Calling, number: int, *urls: str) -> None:
    """Send so many callbacks for each of these URLs, about a job that has ended."""
    await upload(replica, url=None)
    manifest = await until(lambda: record(replica.jobs), within_s=10, what="a manifest")
    async with anyio.create_task_group() as senders:
        for each in range(number):
            for url in urls:
                callback = callbackmessage.make_callback(manifest, url, {"number": each})
                senders.start_soon(replica.callbacks.queue.send, callback.encode())


@pytest.mark.parametrize("dead", [pytest.param(1, marks=pytest.mark.long), 2, pytest.param(30, marks=pytest.mark.long)])
async def test_dead_endpoints_hold_up_no_other_and_no_job(tmp_path: Path, dead: int) -> None:
    urls = [f"https://dead{number}.hooks.example.com/" for number in range(dead)]
    endpoints = Endpoints(dead=set(urls))
    async with calling(tmp_path, endpoints) as replica:
        await send(replica, 1200 // dead, *urls)
        await anyio.sleep(30)
        began = anyio.current_time()
        for number in range(1, 11):
            await upload(replica, keys.upload_key(f"{number:026d}"))
        living = await until(
            lambda: living if len(living := [call for call in endpoints.calls if call.url == URL]) == 10 else None,
            within_s=5,
            what="calls of the living",
        )
        assert all(call.at - began < 5 for call in living)

        async def idle() -> bool:
            return await replica.jobs.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)

        await until(idle, within_s=5, what="the end of all jobs, with no callback among their messages")
        before = len(endpoints.calls)
        await anyio.sleep(100)
        assert max(endpoints.most_at_once[url] for url in urls) == min(CALLS_EACH, -(-MAX_CALLS * 2 // 3 // dead))
        assert 9 * CALLS_DEAD * dead <= len(endpoints.calls) - before <= 11 * CALLS_DEAD * dead


@pytest.mark.long
async def test_900_dead_names_of_one_pattern_hold_up_no_other_pattern_and_no_name_that_answers(tmp_path: Path) -> None:
    urls = [f"https://dead{number}.hooks.example.com/" for number in range(900)]
    known = "https://living.hooks.example.com/"
    endpoints = Endpoints(dead=set(urls))
    async with calling(tmp_path, endpoints) as replica:
        await send(replica, 1, known)
        await called(endpoints)
        await send(replica, 1, *urls)
        await until(lambda: len(endpoints.calls) > 100, within_s=5, what="calls of the dead")
        for round_ in range(5):
            began, before = anyio.current_time(), len(endpoints.calls)
            await send(replica, 1, known, URL)
            await until(
                lambda: {known, URL} <= {call.url for call in endpoints.calls[before:]},  # noqa: B023 - within the round
                within_s=5,
                what=f"round {round_}: calls of the living",
            )
            assert anyio.current_time() - began < 5
            await anyio.sleep(10)
        assert sum(endpoints.most_at_once[url] for url in urls) >= 500, "the dead are called, too"


async def test_what_had_no_turn_has_lost_no_call(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500)] * MAX_HELD}, takes_s=0.1)
    async with calling(tmp_path, endpoints) as replica:
        await send(replica, MAX_HELD, URL)
        await until(lambda: len(endpoints.calls) >= 2 * MAX_HELD, within_s=600, what="all calls")
        await replica.settled(within_s=600)
    assert len(endpoints.calls) == 2 * MAX_HELD
    assert endpoints.most_at_once[URL] == CALLS_EACH


async def test_a_job_that_was_deleted_is_told_to_nobody(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        await replica.jobs.store.delete(ObjectRef(replica.jobs.bucket, keys.manifest_key(KEY)))
        await replica.settled(within_s=20)
    assert len(endpoints.calls) == 1


async def test_one_that_was_given_up_goes_with_its_job_and_no_other(tmp_path: Path) -> None:
    kept, gone = (keys.new_id(int(SystemClock().wall() * 1000), number) for number in range(2))
    endpoints = Endpoints({URL: [Answered(410), Answered(410)]})
    async with calling(tmp_path, endpoints) as replica:
        for job_id in (kept, gone):
            await upload(replica, keys.upload_key(job_id))
        await replica.settled(dead=2)
        tombstones = Tombstones(replica.jobs.store, replica.jobs.bucket, CatalogInForce(Catalog({})), SystemClock())
        assert await JobDeleter(tombstones, [replica.jobs]).delete(gone)
        await replica.settled(dead=1, within_s=60)
        assert replica.callbacks.dead_letters is not None
        [left] = await replica.callbacks.dead_letters.receive(max_messages=10, wait_s=10, visibility_timeout_s=1)
    assert callbackmessage.decode(left.body).original.key == keys.upload_key(kept)


async def test_nor_is_one_whose_deletion_is_under_way(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500)]})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        manifest = await record(replica.jobs)
        assert manifest is not None
        gone = manifest.model_copy(update={"status": "deleted"})
        ref = ObjectRef(replica.jobs.bucket, keys.manifest_key(KEY))
        await replica.jobs.store.put(ref, gone.encode(), content_type="application/json")
        await replica.settled(within_s=20)
    assert len(endpoints.calls) == 1


async def test_each_outcome_of_a_job_that_is_done_again_is_told_of_as_it_was(tmp_path: Path) -> None:
    endpoints, replaceable = Endpoints({URL: [Answered(500)]}), "pngfiles/cat.png"
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica, replaceable)
        await called(endpoints)
        await upload(replica, replaceable)
        calls = await called(endpoints, 3, within_s=20)
    assert [call.id for call in calls] == [calls[0].id, calls[1].id, calls[0].id]
    assert calls[0].id != calls[1].id
    assert calls[0].body == calls[2].body != calls[1].body


async def test_it_can_be_sent_again_under_its_id(tmp_path: Path) -> None:
    endpoints = Endpoints()
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        manifest = await record(replica.jobs)
        assert manifest is not None
        again = await replica.sender.send_again(manifest)
        calls = await called(endpoints, 2)
    assert calls[0].id == calls[1].id == again
    assert calls[0].body == calls[1].body


async def test_a_message_that_is_no_callback_is_buried(tmp_path: Path) -> None:
    async with calling(tmp_path, Endpoints()) as replica:
        await replica.callbacks.queue.send(json.dumps({"key": KEY}))
        await replica.settled(dead=1)
        [note] = await notes(replica)
    assert note is not None
    assert note.code == "malformed-message"


async def test_a_stop_gives_back_what_waits_and_lets_calls_end(tmp_path: Path) -> None:
    endpoints = Endpoints(takes_s=8)
    async with calling(tmp_path, endpoints) as replica:
        await send(replica, 20, URL)
        await called(endpoints, CALLS_EACH)
        replica.consumers.stop()
    assert len(endpoints.calls) == CALLS_EACH
    with sqlite3.connect(tmp_path / schema.DATABASE_NAME) as database:
        [[left]] = database.execute("SELECT count(*) FROM messages WHERE visible_at < ?", (2e9,)).fetchall()
    database.close()
    assert left == 20 - CALLS_EACH


async def test_while_the_store_is_away_no_call_is_made_and_none_is_lost(tmp_path: Path) -> None:
    endpoints = Endpoints({URL: [Answered(500)] * 13})
    async with calling(tmp_path, endpoints) as replica:
        await upload(replica)
        await called(endpoints)
        replica.store.says = lambda *_: BackendUnavailable("away")
        await anyio.sleep(600)
        assert len(endpoints.calls) == 1
        replica.store.says = lambda *_: None
        await called(endpoints, 2, within_s=60)
        counts = await replica.callbacks.queue.counts()
        assert (counts.visible + counts.in_flight, counts.dead) == (1, 0)


async def test_each_call_is_told_to_observers_with_its_time(tmp_path: Path) -> None:
    observed = Observed()
    endpoints = Endpoints({URL: [Answered(500), Answered(200), Answered(410)]}, takes_s=2.0)
    with observed_by([observed]):
        async with calling(tmp_path, endpoints) as replica:
            await upload(replica)
            await called(endpoints, 2, within_s=100)
            await replica.settled()
            await upload(replica, "uploads/" + "1" * 26)
            await replica.settled(dead=1)
            await replica.callbacks.queue.send("no callback")
            await replica.settled(dead=2)
    assert [each for each in observed.happened if isinstance(each, Told)] == [
        Told("callback", "failed", 1),
        Told("callback", "done", 2),
        Told("callback", "given-up", 1),
    ]
    attempts = [each for each in observed.happened if isinstance(each, Attempted)]
    calls = [attempt for attempt in attempts if attempt.queue == callbackmessage.QUEUE]
    assert [(each.ending, each.code) for each in calls] == [
        ("retried", None),
        ("done", None),
        ("failed", "callback-gone"),
        ("failed", "malformed-message"),
    ]
    assert [each.work_s and round(each.work_s) for each in calls] == [2, 2, 2, None]
    assert [each.wait_s is not None for each in calls] == [False, True, False, False]
    assert len(attempts) == len(calls) + 2, "and the jobs"

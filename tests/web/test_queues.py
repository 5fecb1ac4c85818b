"""``/queues`` over real connections: what is said of queues, pauses, and dead letters on request only."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from support.doubles.consuming import Delegate
from support.servers.web import FaultyBackend, Served, open_faulty, serve
from thumbq.core import keys, message
from thumbq.core.deadletter import Note
from thumbq.core.job import JobRequest, ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.pauses import read_pause
from thumbq.ports.observing import Attempted
from thumbq.settings import QueueTable, Settings
from thumbq.web.app import UploadLimits
from thumbq.web.making import make_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend, DeadLetters
    from thumbq.web.queuedesk import QueueDesk

UPLOADED = "uploads/" + "0" * 25


class Counted(Delegate):
    """Dead letters that count how often they are received."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.receives = 0

    async def receive(self, **options: Any) -> Any:
        self.receives += 1
        return await self.target.receive(**options)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbq.deadletters.leases._WAIT_S", 0)


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FaultyBackend]:
    async with open_faulty(tmp_path) as behind:
        yield behind


@pytest.fixture
def dead(behind: FaultyBackend) -> Counted:
    return Counted(behind.real.dead_letters)


@pytest.fixture
def desk(behind: FaultyBackend, dead: Counted) -> QueueDesk:
    backend = replace(behind.backend, dead_letters=cast("DeadLetters", dead))
    return make_desk([(Settings().default_queue, backend)], replica="replica-a", clock=behind.clock)


@pytest.fixture
async def served(behind: FaultyBackend, desk: QueueDesk) -> AsyncIterator[Served]:
    async with serve(behind, UploadLimits(), desk=desk, backend_timeout_s=5) as served:
        yield served


async def bury(backend: Backend, number: int, code: str = "corrupt") -> None:
    """Bury messages of jobs; the originals of the first ten are uploads."""
    assert backend.dead_letters is not None
    for index in range(number):
        source = ObjectRef(backend.bucket, f"{UPLOADED}{index}" if index < 10 else f"pngfiles/{index}")
        note = Note(code, f"it is {code}", f"m-{code}-{index}", 2)
        await backend.dead_letters.send(message.encode(JobRequest(source)), note.encode())


async def got(served: Served, path: str, status: int = 200) -> Any:
    async with served.http.get(path) as response:
        document = await response.json(content_type=None)
        assert response.status == status, document
        assert response.headers["Cache-Control"] == "no-store"
        return document.get("data")


async def posted(served: Served, path: str, body: Any = None, status: int = 200) -> Any:
    async with served.http.post(path, json=body) as response:
        document = await response.json(content_type=None)
        assert response.status == status, document
        assert document["success"] is (status == 200)
        return document.get("data") or document["code"]


async def visible(backend: Backend) -> int:
    """Return how many dead letters another reader could receive now, and give them back."""
    assert backend.dead_letters is not None
    found = await backend.dead_letters.receive(max_messages=10, wait_s=0, visibility_timeout_s=0)
    return len(found)


async def test_the_queue_is_shown_with_its_counts_and_the_series_of_this_replica(
    served: Served, behind: FaultyBackend, desk: QueueDesk, dead: Counted
) -> None:
    await behind.real.queue.send("one")
    await bury(behind.real, 2)
    now = behind.clock.wall()
    for ending in ("done", "done", "failed", "retried"):
        desk.series.observe(Attempted("", ending, now, now - 90, wait_s=4.0, work_s=0.5))
    found = await got(served, "/queues")
    [queue] = found["queues"]
    assert (found["replica"], queue["name"], queue["dead_letters"]) == ("replica-a", "default", True)
    assert queue["counts"] == {"visible": 1, "in_flight": 0, "delayed": 0, "dead": 2}
    assert (queue["paused"], queue["paused_since"]) == (False, None)
    series = queue["series"]
    assert {name: sum(series[name]) for name in ("done", "failed", "retried")} == {"done": 2, "failed": 1, "retried": 1}
    assert series["step_s"] * len(series["done"]) == 3600
    assert {len(series[name]) for name in ("wait_p50_s", "wait_p99_s", "work_p50_s", "work_p99_s")} == {240}
    [waited] = [seconds for seconds in series["wait_p99_s"] if seconds is not None]
    assert waited == pytest.approx(4, rel=0.1)
    assert series["begins_at"] < queue["oldest_seen_at"] < found["now"]
    assert not dead.receives, "nothing is received from the dead-letter queue unless somebody asks"


async def test_a_page_that_asks_all_the_time_has_the_queue_counted_once_in_two_seconds(
    served: Served, behind: FaultyBackend
) -> None:
    for _ in range(5):
        await got(served, "/queues")
    assert behind.queue.calls == ["counts"]


async def test_of_a_queue_that_does_not_answer_all_else_is_shown(served: Served, behind: FaultyBackend) -> None:
    behind.queue.errors["counts"] = behind.store.errors["get"] = BackendUnavailable("away")
    [queue] = (await got(served, "/queues"))["queues"]
    assert (queue["counts"], queue["paused"], queue["name"]) == (None, None, "default")


async def test_several_queues_are_shown_in_their_order(behind: FaultyBackend) -> None:
    settings = Settings(queues=(QueueTable(name="high"), QueueTable(name="low")))
    queues = [(config, behind.backend) for config in settings.queue_configs]
    desk = make_desk(queues, replica="replica-a", clock=behind.clock)
    async with serve(behind, UploadLimits(), desk=desk) as served:
        found = (await got(served, "/queues"))["queues"]
        assert [(queue["name"], queue["dead_letters"]) for queue in found] == [("high", False), ("low", False)]
        assert await posted(served, "/queues/default/pause", status=404) == "no-queue"
        assert await posted(served, "/queues/low/dead-letters/remove", {"all": True}, 404) == "no-dead-letters"
        await got(served, "/queues/low/dead-letters", 404)


async def test_a_queue_is_paused_and_resumed_for_all_replicas(served: Served, behind: FaultyBackend) -> None:
    paused = await posted(served, "/queues/default/pause")
    assert (paused["name"], paused["paused"], paused["replica"]) == ("default", True, "replica-a")
    found = await read_pause(behind.real.store, behind.real.bucket, "default")
    assert found is not None
    [queue] = (await got(served, "/queues"))["queues"]
    assert (queue["paused"], queue["paused_since"]) == (True, paused["paused_since"])
    behind.clock.ahead_s = 100
    assert await posted(served, "/queues/default/pause") == paused, "since before"
    assert (await posted(served, "/queues/default/resume"))["paused"] is False
    assert (await got(served, "/queues"))["queues"][0]["paused"] is False


async def test_ready_says_what_is_paused(served: Served) -> None:
    served.health.away = {"store": None, "queue high": 5.0, "queue low": None}
    served.health.paused = {"queue high": 1_800_000_000.0, "queue low": None}
    async with served.http.get("/readyz") as response:
        assert (response.status, await response.json()) == (
            200,
            {"status": "ok", "store": "ok", "queue high": "paused since 2027-01-15T08:00:00Z", "queue low": "paused"},
        )


async def test_dead_letters_are_listed_with_their_pictures_and_given_back(
    served: Served, behind: FaultyBackend, dead: Counted
) -> None:
    await bury(behind.real, 11)
    await bury(behind.real, 1, "truncated")
    assert behind.real.dead_letters is not None
    await behind.real.dead_letters.send("{ " + "x" * 3000, "")
    found = await got(served, "/queues/default/dead-letters")
    assert (found["replica"], found["queue"], found["looked_at"], found["others"]) == ("replica-a", "default", 13, 0)
    first = next(letter for letter in found["letters"] if letter["keys"] == [f"{UPLOADED}3"])
    assert (first["code"], first["reason"], first["receive_count"]) == ("corrupt", "it is corrupt", 2)
    assert first["message_id"] == "m-corrupt-3"
    upload_id = f"{UPLOADED}3".removeprefix("uploads/")
    assert (first["original"], first["job"]) == (f"/originals/{upload_id}", f"/jobs/{upload_id}")
    assert json.loads(first["body"])["key"] == f"{UPLOADED}3"
    elsewhere = next(letter for letter in found["letters"] if letter["keys"] == ["pngfiles/10"])
    assert (elsewhere["original"], elsewhere["job"]) == (None, None)
    foreign = next(letter for letter in found["letters"] if letter["code"] is None)
    assert (len(foreign["body"]), foreign["body_cut"], foreign["keys"]) == (2000, True, [])
    whole = await got(served, f"/queues/default/dead-letters/{foreign['id']}")
    assert (len(whole["letter"]["body"]), whole["letter"]["body_cut"]) == (3002, False)
    assert await visible(behind.real) == 10, "what was looked at is released again"
    assert dead.receives > 0


async def test_dead_letters_are_listed_by_their_codes(served: Served, behind: FaultyBackend) -> None:
    for code, number in (("corrupt", 3), ("truncated", 2), ("too-large", 2)):
        await bury(behind.real, number, code)
    assert behind.real.dead_letters is not None
    await behind.real.dead_letters.send("of nobody", "")
    found = await got(served, "/queues/default/dead-letters?code=truncated&code=-")
    assert sorted(str(letter["code"]) for letter in found["letters"]) == ["None", "truncated", "truncated"]
    assert len((await got(served, "/queues/default/dead-letters?limit=2"))["letters"]) == 2
    assert len((await got(served, "/queues/default/dead-letters?code=corrupt&limit=2"))["letters"]) == 2
    await got(served, "/queues/default/dead-letters?limit=0", 400)
    assert await visible(behind.real) == 8


async def test_those_that_are_chosen_are_redriven_and_what_is_gone_is_said(
    served: Served, behind: FaultyBackend
) -> None:
    await bury(behind.real, 4)
    letters = (await got(served, "/queues/default/dead-letters"))["letters"]
    ids = [letters[0]["id"], "gone", letters[1]["id"]]
    path = "/queues/default/dead-letters/redrive"
    dry = await posted(served, path, {"ids": ids, "dry_run": True})
    assert (dry["dry_run"], dry["number"], await behind.waiting()) == (True, 3, 0)
    done = await posted(served, path, {"ids": ids}, 207)
    assert {letter["id"]: letter["status"] for letter in done["letters"]} == {
        ids[0]: "redriven",
        "gone": "missing",
        ids[2]: "redriven",
    }
    assert (done["number"], await behind.waiting()) == (2, 2)
    assert all(letter["message_id"] for letter in done["letters"] if letter["status"] == "redriven")
    assert (await posted(served, path, {"ids": [letters[2]["id"]]}))["number"] == 1
    assert (await behind.real.queue.counts()).dead == 1


async def test_those_that_are_chosen_are_removed_and_what_is_gone_is_said(
    served: Served, behind: FaultyBackend
) -> None:
    await bury(behind.real, 3)
    letters = (await got(served, "/queues/default/dead-letters"))["letters"]
    done = await posted(served, "/queues/default/dead-letters/remove", {"ids": ["gone", letters[0]["id"]]}, 207)
    assert [(letter["id"], letter["status"]) for letter in done["letters"]] == [
        (letters[0]["id"], "removed"),
        ("gone", "missing"),
    ]
    counts = await behind.real.queue.counts()
    assert (counts.dead, counts.visible) == (2, 0)


@pytest.mark.parametrize(("verb", "waiting"), [("redrive", 25), ("remove", 0)])
async def test_all_are_seen_to_after_a_dry_answer_says_how_many(
    served: Served, behind: FaultyBackend, dead: Counted, verb: str, waiting: int
) -> None:
    await bury(behind.real, 25)
    path = f"/queues/default/dead-letters/{verb}"
    dry = await posted(served, path, {"all": True, "dry_run": True})
    assert (dry["number"], dry["left"], dead.receives) == (25, 25, 0)
    done = await posted(served, path, {"all": True})
    assert (done["number"], done["letters"], done["left"]) == (25, [], 0)
    counts = await behind.real.queue.counts()
    assert (counts.dead, counts.visible) == (0, waiting)


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": ["a"], "all": True}, {"ids": [1]}, {"ids": ["a"] * 101}, {"everything": True}, []]
)
async def test_what_is_not_clear_changes_nothing(served: Served, behind: FaultyBackend, body: Any) -> None:
    await bury(behind.real, 1)
    assert await posted(served, "/queues/default/dead-letters/remove", body, 400) in {"invalid-member", "invalid-json"}
    assert (await behind.real.queue.counts()).dead == 1


async def test_a_queue_that_takes_nothing_keeps_them_dead(served: Served, behind: FaultyBackend) -> None:
    await bury(behind.real, 3)
    [letter, *_] = (await got(served, "/queues/default/dead-letters"))["letters"]
    behind.queue.errors["send"] = BackendUnavailable("away")
    done = await posted(served, "/queues/default/dead-letters/redrive", {"ids": [letter["id"]]}, 207)
    assert [(each["status"], each["error"]) for each in done["letters"]] == [("failed", "away")]
    assert (await behind.real.queue.counts()).dead == 3
    assert await visible(behind.real) == 3


async def test_what_takes_too_long_is_cut_off_and_said(behind: FaultyBackend, desk: QueueDesk, dead: Counted) -> None:
    await bury(behind.real, 3)
    async with serve(behind, UploadLimits(), desk=desk, backend_timeout_s=0.5) as served:
        letters = (await got(served, "/queues/default/dead-letters"))["letters"]
        ids = [letter["id"] for letter in letters]
        behind.store.errors.clear()
        behind.queue.gates["send"] = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def release() -> None:
                await behind.queue.until_called("send")
                await anyio.sleep(0.7)
                behind.queue.gates["send"].set()

            tasks.start_soon(release)
            done = await posted(served, "/queues/default/dead-letters/redrive", {"ids": [*ids, "gone"]}, 207)
        statuses = {letter["id"]: letter["status"] for letter in done["letters"]}
        assert statuses == dict.fromkeys(ids, "redriven") | {"gone": "not-tried"}
    assert dead.receives


async def test_who_comes_while_another_looks_waits_and_is_told_in_the_end(
    behind: FaultyBackend, desk: QueueDesk
) -> None:
    async with serve(behind, UploadLimits(), desk=desk, backend_timeout_s=0.2) as served:
        async with desk.queues["default"].looking:
            await got(served, "/queues/default/dead-letters", 503)
        assert (await got(served, "/queues/default/dead-letters"))["letters"] == []


async def test_a_letter_that_is_not_there_is_not_found(served: Served) -> None:
    await got(served, f"/queues/default/dead-letters/{keys.new_id(1, 1)}", 404)


async def test_a_callback_that_was_given_up_has_the_picture_of_its_job(served: Served, behind: FaultyBackend) -> None:
    assert behind.real.dead_letters is not None
    original = ObjectRef(behind.real.bucket, f"{UPLOADED}0")
    body: dict[str, Any] = {"version": 1, "id": "msg_1", "url": "https://example.com/hook", "body": {}}
    body["source"] = {"bucket": original.bucket, "key": original.key}
    await behind.real.dead_letters.send(json.dumps(body), Note("callback-gone", "410", "m-1", 3).encode())
    [letter] = (await got(served, "/queues/default/dead-letters"))["letters"]
    assert letter["keys"] == [original.key]
    assert letter["original"] == f"/originals/{original.key.removeprefix('uploads/')}"

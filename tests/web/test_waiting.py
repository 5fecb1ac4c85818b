"""Waiting for jobs: ETags, held answers, and who asks the store how often. On virtual time where nobody listens."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog

from support.patience import until, within
from support.servers.web import JPEG, form
from support.virtual_time import on_virtual_time
from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.jobdocuments import JobState
from thumbq.manifests import read_manifest
from thumbq.web.preferences import wait_s
from thumbq.web.services import SERVICES
from thumbq.web.waiting import Waiters
from web.test_jobs import finish, uploaded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from support.servers.web import Served

WAIT = {"Prefer": "wait=20"}


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["wait=20"], 20),
        (["WAIT = 1"], 1),
        (['wait="7"'], 7),
        (["respond-async, wait=5; x=1"], 5),
        (["respond-async", "wait=5"], 5),
        (['x="a, wait=3", wait=4'], 4),
        (["wait=31"], 30),
        (["wait=99999999"], 30),
        (["wait=5, wait=6"], 5),
        (["wait=0"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=soon, wait=5"], None),
        (["wait"], None),
        (["waiting=5"], None),
        (["return=minimal"], None),
        ([""], None),
        (["wait=99999999999999999999"], None),
    ],
)
def test_a_preference_is_a_number_of_seconds_or_nothing(lines: list[str], seconds: int | None) -> None:
    class Request:
        class headers:  # noqa: N801 - as aiohttp has it
            @staticmethod
            def getall(_name: str, _default: Any) -> list[str]:
                return lines

    request: Any = Request()
    assert wait_s(request) == seconds


async def get(served: Served, path: str, **headers: str) -> tuple[int, Mapping[str, str], Any]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.get(path, headers=names) as response:
        return response.status, response.headers, await response.json() if response.status != 304 else None


async def announce(served: Served, job_id: str) -> None:
    """Do what a job runner does when the manifest is stored."""
    manifest = await read_manifest(
        served.behind.real.store, ObjectRef(served.behind.real.bucket, keys.upload_key(job_id))
    )
    assert manifest is not None
    await served.app[SERVICES].waiters.announce(manifest, attempt=1)


async def test_a_job_has_an_etag_that_changes_with_its_state(served: Served) -> None:
    job_id = await uploaded(served)
    _, queued, _ = await get(served, f"/jobs/{job_id}")
    status, again, _ = await get(served, f"/jobs/{job_id}", If_None_Match=queued["ETag"])
    assert (status, again["ETag"], again["Cache-Control"]) == (304, queued["ETag"], "no-cache")
    await finish(served, job_id)
    status, done, _ = await get(served, f"/jobs/{job_id}", If_None_Match=queued["ETag"])
    assert status == 200
    assert done["ETag"] != queued["ETag"]
    assert (await get(served, f"/jobs/{job_id}", If_None_Match=f'W/{done["ETag"]}, "x"'))[0] == 304


@pytest.mark.parametrize("known", [False, True])
async def test_an_answer_is_held_until_the_job_ends_here(served: Served, *, known: bool) -> None:
    job_id = await uploaded(served)
    headers = {"If_None_Match": (await get(served, f"/jobs/{job_id}"))[1]["ETag"]} if known else {}
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await get(served, f"/jobs/{job_id}", **WAIT, **headers))

    waiters = served.app[SERVICES].waiters
    with within(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: waiters._waiters, within_s=5, what="a held request")
            assert not answers
            await finish(served, job_id)
            await announce(served, job_id)
    [(status, told, document)] = answers
    assert (status, document["data"]["status"], told["Preference-Applied"]) == (200, "done", "wait=20")
    assert not waiters._watches


async def test_one_that_ended_elsewhere_is_seen_when_the_store_is_asked(served: Served) -> None:
    job_id = await uploaded(served)
    await finish(served, job_id)
    served.app[SERVICES].states._manifests._entries.clear()
    status, _, document = await get(served, f"/jobs/{job_id}", **WAIT)
    assert (status, document["data"]["status"]) == (200, "done"), "it is no news, and nothing is waited for"


async def test_when_the_time_is_up_the_answer_is_what_is_known(served: Served) -> None:
    job_id = await uploaded(served)
    status, told, document = await get(served, f"/jobs/{job_id}", Prefer="wait=1")
    assert (status, document["data"]["status"], told["Preference-Applied"]) == (200, "queued", "wait=1")
    status, told, _ = await get(served, f"/jobs/{job_id}", Prefer="wait=1", If_None_Match=told["ETag"])
    assert (status, told["Preference-Applied"]) == (304, "wait=1")


async def test_nonsense_is_not_waited_for(served: Served) -> None:
    job_id = await uploaded(served)
    _, told, _ = await get(served, f"/jobs/{job_id}", Prefer="wait=soon")
    assert "Preference-Applied" not in told


async def test_several_jobs_are_one_answer_which_comes_when_any_has_changed(served: Served) -> None:
    first, second = await uploaded(served), await uploaded(served)
    path = f"/jobs?id={first}&id=nonsense&id={second}&id={'0' * 26}&id={first}"
    _, told, document = await get(served, path)
    assert [job["id"] for job in document["data"]["jobs"]] == [first, second]
    assert document["data"]["unknown"] == ["nonsense", "0" * 26]
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await get(served, path, **WAIT, If_None_Match=told["ETag"]))

    with within(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: served.app[SERVICES].waiters._waiters, within_s=5, what="a held request")
            await finish(served, second)
            await announce(served, second)
    assert [job["status"] for job in answers[0][2]["data"]["jobs"]] == ["queued", "done"]


async def test_up_to_fifty_jobs_can_be_asked_for(served: Served) -> None:
    status, _, document = await get(served, "/jobs?id=")
    assert (status, document["data"]) == (200, {"jobs": [], "unknown": [""]})
    for different in (51, 1):
        status, _, document = await get(served, "/jobs?" + "&".join(f"id={number % different}" for number in range(51)))
        assert (status, document["code"]) == (400, "invalid-query")
    status, _, document = await get(served, "/jobs?id=0&id=0")
    assert document["data"]["unknown"] == ["0"]


async def test_an_upload_waits_for_its_jobs(served: Served) -> None:
    answers: list[Any] = []

    async def post() -> None:
        async with served.http.post("/upload", data=form(("a.jpg", JPEG), ("b.txt", b"text")), headers=WAIT) as got:
            answers.append((got.status, got.headers["Preference-Applied"], await got.json()))

    waiters = served.app[SERVICES].waiters
    with within(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await until(lambda: waiters._watches, within_s=5, what="a held upload")
            [job_id] = waiters._watches
            await finish(served, job_id)
            await announce(served, job_id)
    [(status, applied, document)] = answers
    assert (status, applied) == (207, "wait=20")
    assert [job.get("status", "refused") for job in document["data"]["jobs"]] == ["done", "refused"]
    async with served.http.get(f"/jobs/{job_id}") as got:
        assert (await got.json())["data"] == document["data"]["jobs"][0]


async def test_one_more_than_there_is_room_for_is_answered_at_once(served: Served) -> None:
    job_id = await uploaded(served)
    waiters = served.app[SERVICES].waiters
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(lambda: get(served, f"/jobs/{job_id}", **WAIT))
        await until(lambda: len(waiters._waiters) == 2, within_s=5, what="two held requests")
        status, told, document = await get(served, f"/jobs/{job_id}", **WAIT)
        assert (status, document["data"]["status"]) == (200, "queued")
        assert "Preference-Applied" not in told
        assert len(waiters._watches) == 1, "both wait for one job, which is asked for once"
        with within(2):
            served.server.answer_waiting()


async def test_a_client_that_goes_away_is_forgotten(served: Served) -> None:
    job_id = await uploaded(served)
    waiters = served.app[SERVICES].waiters
    async with await anyio.connect_tcp(served.host, served.port) as stream:
        await stream.send(f"GET /jobs/{job_id} HTTP/1.1\r\nHost: test\r\nPrefer: wait=30\r\n\r\n".encode())
        await until(lambda: waiters._waiters, within_s=5, what="a held request")
    await until(lambda: not waiters._waiters and not waiters._watches, within_s=2, what="a client that is forgotten")


class Store:
    """Counts how often it is asked for the state of a job."""

    def __init__(self, *answers: JobState | Exception) -> None:
        self.asked = 0
        self._answers = list(answers)

    async def look(self, state: JobState) -> JobState:
        self.asked += 1
        answer = self._answers.pop(0) if self._answers else state
        if isinstance(answer, Exception):
            raise answer
        return answer


def on_virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Return a test that runs on virtual time."""

    def run() -> None:
        on_virtual_time(test)

    return run


QUEUED = JobState("uploads/x", replaceable=False)
EXPIRED = replace(QUEUED, expired=True)
DELETED = replace(QUEUED, deleted=True)


@on_virtual
async def test_the_store_is_asked_about_once_a_second_whoever_waits() -> None:
    store = Store()
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(lambda: waiters.wait({"x": QUEUED}, lambda _: False, within_s=20, gone=lambda: False))
    assert anyio.current_time() - began == pytest.approx(20)
    assert 20 <= store.asked <= 27


@on_virtual
async def test_a_job_that_ends_here_before_anybody_waits_for_it_is_asked_for_at_once() -> None:
    store = Store(EXPIRED)
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    waiters.has_ended("x")
    found = await waiters.wait({"x": QUEUED}, lambda now: now["x"].expired, within_s=20, gone=lambda: False)
    assert found == {"x": EXPIRED}
    assert anyio.current_time() == pytest.approx(0, abs=0.01)
    for number in range(2_000):
        waiters.has_ended(str(number))
    assert len(waiters._just_ended) == 1_000


@on_virtual
async def test_who_has_read_more_than_those_who_wait_is_not_told_what_they_know() -> None:
    store = Store(DELETED)
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    found: list[JobState] = []

    async def wait(known: JobState) -> None:
        now = await waiters.wait({"x": known}, lambda now: now["x"] != known, within_s=5, gone=lambda: False)
        found.append(now["x"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, QUEUED)
        await anyio.sleep(0.1)
        assert not store.asked
        tasks.start_soon(wait, DELETED)
        await anyio.sleep(0.1)
        assert (store.asked, found) == (1, [DELETED]), "whoever waited before is told at once"
    assert found == [DELETED] * 2
    assert anyio.current_time() == pytest.approx(5.1), "the other is told when its time is up, and of nothing older"


@on_virtual
async def test_a_store_that_fails_is_asked_again_and_what_it_says_wakes_all() -> None:
    store = Store(BackendUnavailable("away"), QUEUED, EXPIRED)
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    found: list[JobState] = []

    async def wait() -> None:
        found.append(
            (await waiters.wait({"x": QUEUED}, lambda now: now["x"].expired, within_s=20, gone=lambda: False))["x"]
        )

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
    assert found == [EXPIRED] * 3
    assert store.asked == 3
    assert anyio.current_time() < 3.1


@on_virtual
async def test_when_the_one_that_asks_for_all_leaves_the_next_one_asks() -> None:
    store = Store(*[QUEUED] * 4, EXPIRED)
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    found: list[tuple[JobState, float]] = []

    async def wait(within_s: float) -> None:
        now = await waiters.wait({"x": QUEUED}, lambda now: now["x"].expired, within_s=within_s, gone=lambda: False)
        found.append((now["x"], anyio.current_time()))

    async with anyio.create_task_group() as tasks:
        for within_s in (1.2, 20, 2.4, 20):
            tasks.start_soon(wait, within_s)
    assert [state for state, _ in found] == [QUEUED, QUEUED, EXPIRED, EXPIRED]
    assert found[-1][1] <= 5, "nobody has lost a look by it"
    assert store.asked == 5
    assert not waiters._watches


@on_virtual
async def test_a_look_that_is_cut_off_is_taken_up_at_once_by_the_next_one() -> None:
    began: list[float] = []

    async def look(_: JobState) -> JobState:
        began.append(anyio.current_time())
        if len(began) == 1:
            await anyio.sleep_forever()
        return EXPIRED

    waiters = Waiters(look, at_most=100, random=random.Random(1))
    waiters.has_ended("x")

    async def wait(within_s: float) -> None:
        await waiters.wait({"x": QUEUED}, lambda now: now["x"].expired, within_s=within_s, gone=lambda: False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, 0.3)
        tasks.start_soon(wait, 20)
    assert began == pytest.approx([0, 0.3], abs=0.01)
    assert anyio.current_time() == pytest.approx(0.3, abs=0.01)


@on_virtual
async def test_a_bug_in_a_look_is_an_error_of_each_request_and_nobody_waits_in_vain() -> None:
    store = Store(*[TypeError("a bug")] * 3)
    waiters = Waiters(store.look, at_most=100, random=random.Random(1))
    raised: list[str] = []

    async def wait() -> None:
        with pytest.raises(TypeError) as error:
            await waiters.wait({"x": QUEUED, "y": QUEUED}, lambda _: False, within_s=20, gone=lambda: False)
        raised.append(str(error.value))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
    assert raised == ["a bug"] * 3
    assert anyio.current_time() < 3.1
    assert not waiters._waiters
    assert not waiters._watches


async def test_a_bug_in_a_look_is_a_500_but_an_upload_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(_: JobState) -> JobState:
        raise TypeError("a bug")

    monkeypatch.setattr(served.app[SERVICES].waiters, "_look", look)
    job_id = await uploaded(served)
    served.app[SERVICES].waiters.has_ended(job_id)
    with structlog.testing.capture_logs() as logs, within(5):
        status, _, document = await get(served, f"/jobs/{job_id}", **WAIT)
        assert (status, document["code"]) == (500, "internal-error")
        async with served.http.post("/upload", data=form(("a.jpg", JPEG)), headers=WAIT) as got:
            assert got.status == 201
            assert "Preference-Applied" not in got.headers
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["request.failed", "upload.bug"]

"""`thumbq status`: counts, how they change, bars; and what a replica says of itself."""

from __future__ import annotations

import json
import re
import sys
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from support.commands import thumbq
from thumbq.backends import open_backends
from thumbq.cli.status import lines
from thumbq.commands.status import History, QueueStatus, Replica, Status, sparkline, squeezed, statuses
from thumbq.errors import SetupError
from thumbq.ports import QueueCounts
from thumbq.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "thumbq_a-token"
SERIES = {"step_s": 30, "begins_at": "…", "done": [0, 4, 8, 6, 1], "failed": [0, 0, 1, 0, 0]}
QUEUES = {"data": {"queues": [{"name": "jobs", "paused": True, "series": SERIES}]}}


class Ticks:
    """A clock that goes on by ten seconds each time it is asked."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 10
        return self._now

    def wall(self) -> float:
        return 1_700_000_000.0


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([1], "█"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([7_000_000, 0], "█▁")],
)
def test_the_highest_bar_is_the_largest_number(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


def test_change_is_counted_from_the_first_look_that_is_kept() -> None:
    history = History()
    for at in range(100):
        history.add(float(at), QueueCounts(visible=2 * at, in_flight=at, delayed=0, dead=9))
    assert len(history.backlog) == 60
    assert history.backlog[-1] == 297
    assert history.change_per_s == 3.0


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """Make a local directory with three messages."""
    async with open_backends(Settings(local=tmp_path / "data")) as (backend, *_):
        for number in range(3):
            await backend.queue.send(f"uploads/{number}")
    return tmp_path / "data"


async def looks(number: int, settings: Settings, replica: Replica | None = None) -> list[Status]:
    found = []
    async with aclosing(statuses(settings, replica, clock=Ticks(), every_s=0)) as all_looks:
        async for look in all_looks:
            found.append(look)
            if len(found) == number:
                break
    return found


async def test_each_look_counts_the_queues_and_says_how_they_change(directory: Path) -> None:
    first, second = await looks(2, Settings(local=directory))
    assert first.queues[0].counts == QueueCounts(visible=3, in_flight=0, delayed=0, dead=0)
    assert (first.queues[0].change_per_s, second.queues[0].change_per_s) == (None, 0.0)
    assert (first.at, first.replica) == ("2023-11-14T22:13:20Z", None)
    assert [look.queues[0].backlog for look in (first, second)] == [[3], [3, 3]]


def test_a_directory_that_is_none_is_not_made(tmp_path: Path) -> None:
    done = thumbq("status", "--local", str(tmp_path / "none"))
    assert (done.exit_code, "there is nothing of thumbq in" in done.output) == (2, True)
    assert not (tmp_path / "none").exists()


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    local = ("--local", str(tmp_path / "data"))

    async def make() -> None:
        async with open_backends(Settings(local=tmp_path / "data")) as (backend, *_):
            await backend.queue.send("uploads/x")

    anyio.run(make)
    done = thumbq("status", *local)
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "queue     waiting in flight   delayed      dead  change/s",
            "default         1         0         0         0         -  █",
        ],
    )
    document = json.loads(thumbq("status", "--json", *local).output)
    assert document["queues"][0]["counts"] == {"visible": 1, "in_flight": 0, "delayed": 0, "dead": 0}


def test_it_watches_until_nobody_reads_and_says_so_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[Any] = []

    def say(text: str) -> bool:
        printed.append(json.loads(text))
        return len(printed) < 3

    async def no_time(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    async def make() -> None:
        async with open_backends(Settings(local=tmp_path / "data")):
            pass

    anyio.run(make)
    monkeypatch.setattr(sys.modules["thumbq.cli.status"], "say", say)
    monkeypatch.setattr("thumbq.commands.status.anyio.sleep", no_time)
    done = thumbq("status", "--watch", "--json", "--local", str(tmp_path / "data"))
    assert done.exit_code == 1
    assert [look["queues"][0]["backlog"] for look in printed] == [[0], [0, 0], [0, 0, 0]]


@asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def replica() -> AsyncIterator[str]:
    """Serve what a replica answers, to the holder of the token."""

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "store": "ok", "queue": "away since 2026-11-29T10:00:00Z"})

    async def queues(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
        return web.json_response(QUEUES)

    async with served(web.get("/readyz", readyz), web.get("/queues", queues)) as url:
        yield url


async def test_what_another_service_answers_is_said_to_be_none_of_ours() -> None:
    async def any_path(_: web.Request) -> web.Response:
        return web.json_response(["ok"])

    async with served(web.get("/{path}", any_path)) as url:
        [look] = await looks(1, Settings(), Replica(url))
    assert list(lines(look, 80)) == [f"{url}: error the answer is not thumbq's"]


async def test_a_replica_says_whether_it_is_ready_and_what_has_ended_on_it(replica: str) -> None:
    [look] = await looks(1, Settings(), Replica(f"{replica}/", TOKEN))
    assert list(lines(look, 80)) == [
        f"{replica}: ready ok, store ok, queue away since 2026-11-29T10:00:00Z",
        "  jobs: paused, done 14.0, failed 1.0 a minute  ▁▅█▆▂",
    ]


@pytest.mark.parametrize("columns", [60, 80, 200])
async def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    """A minute's looks, and 240 steps of an hour, are more than fit behind the numbers of a terminal's 80 columns."""
    counts = QueueCounts(visible=1_234_567, in_flight=120_000, delayed=0, dead=12)
    queues = [QueueStatus("default", counts, -12.5, list(range(60))), QueueStatus("webhooks", None, None, [1] * 60)]
    series = {"step_s": 15, "done": [*[0] * 200, *range(40)], "failed": [0] * 240}
    told = {"queues": [{"name": "default", "paused": False, "series": series}]}
    replica = {"url": "http://127.0.0.1:8080", "/readyz": {"status": "ok", "store": "ok"}, "/queues": {"data": told}}
    shown = list(lines(Status("2026-11-29T10:00:00Z", queues, replica), columns))
    assert max(map(len, shown)) <= columns
    bars = [re.search("[▁▂▃▄▅▆▇█]*$", line) for line in shown]
    assert [len(found[0]) for found in bars if found is not None] == {
        60: [0, 0, 0, 0, 16],
        80: [0, 20, 0, 0, 35],
        200: [0, 60, 0, 0, 120],
    }[columns]


@pytest.mark.parametrize("room", [1, 7, 240, 1000])
def test_squeezed_steps_lose_nothing(room: int) -> None:
    values = list(range(240))
    assert sum(squeezed(values, room)) == sum(values)
    assert len(squeezed(values, room)) <= room


async def test_a_token_that_is_not_enough_is_said(replica: str) -> None:
    with pytest.raises(SetupError) as refused:
        await looks(1, Settings(), Replica(replica))
    assert refused.value.problems[0].what == f"{replica}/queues is answered 401: the token is not enough"


async def test_a_replica_that_is_away_costs_the_counts_of_the_queues_nothing(directory: Path) -> None:
    [look] = await looks(1, Settings(local=directory), Replica("http://127.0.0.1:9"))
    assert look.queues[0].counts is not None
    found: Any = look.replica
    assert "Cannot connect" in found["/readyz"]["error"]


@pytest.mark.parametrize("url", ["nowhere", "http://"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        await looks(1, Settings(), Replica(url))
    assert refused.value.problems[0].what == f"--url {url} is no URL"

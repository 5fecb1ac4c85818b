"""What is older than its prefix allows goes, row and file; what is younger stays."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing
from random import Random
from subprocess import PIPE
from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.backends import open_local
from support.doubles.clocks import HandClock, SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, StoreFull
from thumbq.local import retention as module
from thumbq.local import schema
from thumbq.local.backup import back_up
from thumbq.local.blobs import Blobs
from thumbq.local.database import open_database
from thumbq.local.restore import restore
from thumbq.local.retention import Retention
from thumbq.local.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

DAY_S = 86_400
LIVES = 6


class Later(SystemClock):
    """A clock that is so many days ahead."""

    def __init__(self, days: float) -> None:
        super().__init__()
        self._ahead_s = days * DAY_S

    def wall(self) -> float:
        return super().wall() + self._ahead_s


async def store(directory: Path, ages: Mapping[str, float]) -> None:
    """Store objects of so many days, each with a file of that age."""
    for key, days in ages.items():
        async with open_local(directory, clock=Later(-days)) as backend:
            await backend.store.put(ObjectRef("local", key), key.encode(), content_type="text/plain")
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as database:
        for key, days in ages.items():
            (blob,) = database.execute("SELECT blob FROM objects WHERE key = ?", (key,)).fetchone()
            os.utime(Blobs(directory).path(blob), (time.time() - days * DAY_S,) * 2)


def left(directory: Path) -> dict[str, str]:
    """Return the keys of rows with what their files hold, which have to be all files there are."""
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as database:
        rows = dict(database.execute("SELECT key, blob FROM objects").fetchall())
    files = {path.name: path for path in (directory / schema.OBJECTS).rglob("*") if path.is_file()}
    assert files.keys() == set(rows.values())
    return {key: files[blob].read_text() for key, blob in rows.items()}


@asynccontextmanager
async def opened(directory: Path, days: Mapping[str, int]) -> AsyncIterator[Retention]:
    async with open_database(directory) as database:
        yield Retention(database, Blobs(directory), SystemClock(), Random(1), days=days)


@pytest.mark.parametrize("page", [1, 3, 500])
async def test_only_what_is_old_enough_goes_and_the_fewest_days_count(
    directory: Path, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    ages = {"a": 99, "uploads/1": 31, "uploads/2": 29, "uploads/x/3": 31, "uploads/x/4": 21, "uploads0": 99}
    await store(directory, ages)
    async with opened(directory, {"uploads/": 30, "uploads/x/": 20}) as retention:
        with capture_logs() as logs:
            await retention.look()
    assert left(directory) == {key: key for key in ("a", "uploads/2", "uploads0")}
    assert [(line["event"], line["prefix"], line["objects"]) for line in logs] == [
        ("retention.removed", "uploads/", 2),
        ("retention.removed", "uploads/x/", 1),
    ]


async def test_a_row_without_a_time_goes_by_the_age_of_its_file(directory: Path) -> None:
    await store(directory, {"uploads/young": 1, "uploads/old": 40})
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as database, database:
        database.execute("UPDATE objects SET modified_at = 0")  # as a migration from the first schema leaves it
    async with opened(directory, {"uploads/": 30}) as retention:
        await retention.look()
    assert left(directory).keys() == {"uploads/young"}


async def test_what_is_replaced_while_it_is_looked_for_stays(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await store(directory, {"uploads/1": 40, "uploads/2": 40})
    older_than = Blobs.older_than

    def replaced(self: Blobs, posix_s: float, names: list[str]) -> list[str]:
        found = older_than(self, posix_s, names)
        anyio.run(store, directory, {"uploads/1": 0})
        return found

    monkeypatch.setattr(Blobs, "older_than", replaced)
    async with opened(directory, {"uploads/": 30}) as retention:
        await retention.look()
    assert left(directory).keys() == {"uploads/1"}


async def test_an_upload_is_refused_while_it_would_leave_too_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, looks = 1000, 0

    def look(_: object) -> int:
        nonlocal looks
        looks += 1
        return free

    monkeypatch.setattr(Watermark, "_look", look)
    clock = HandClock()
    watermark = Watermark(tmp_path, 100, clock)
    await watermark.check(500)
    await watermark.check(400)
    with pytest.raises(StoreFull):
        await watermark.check(1)
    assert looks == 1
    free = 200
    clock.now += 1
    await watermark.check(100)
    with pytest.raises(StoreFull):
        await watermark.check(1)
    assert looks == 2


async def test_a_directory_that_is_gone_is_a_store_that_is_away(tmp_path: Path) -> None:
    clock = HandClock()
    (tmp_path / "data").mkdir()
    watermark = Watermark(tmp_path / "data", 100, clock)
    (tmp_path / "data").rename(tmp_path / "moved")
    clock.now += 1
    with pytest.raises(BackendUnavailable):
        await watermark.check(1)


REMOVES = """
import sys, anyio
from pathlib import Path
from random import Random
from subprocess import PIPE
from thumbq.local.backup import back_up
from thumbq.local.blobs import Blobs
from thumbq.local.database import open_database
from thumbq.local.restore import restore
from thumbq.local.retention import Retention
from thumbq.local import retention
from thumbq.process import SystemClock

retention._PAGE = 10

class Telling(Retention):
    async def _remove(self, old, before):
        print("looks", flush=True)
        return await super()._remove(old, before)

async def main():
    directory = Path(sys.argv[1])
    async with open_database(directory) as database:
        await Telling(database, Blobs(directory), SystemClock(), Random(1), days={"uploads/": 30}).look()

anyio.run(main)
"""


def removing(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", REMOVES, str(directory)], stdout=PIPE, text=True)


@pytest.mark.long
async def test_kill_9_while_old_objects_go_costs_no_young_one_and_a_backup_restores_what_is_there(
    directory: Path, tmp_path: Path
) -> None:
    """Beside uploads. What a kill leaves are files without a row, which no backup has."""
    old = [f"uploads/old {number}" for number in range(400)]
    before = time.time() - 40 * DAY_S
    async with open_local(directory, clock=SystemClock()) as backend:

        async def put(key: str) -> None:
            await backend.store.put(ObjectRef("local", key), key.encode(), content_type="text/plain")

        async with anyio.create_task_group() as tasks:
            for key in old:
                tasks.start_soon(put, key)
        with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as database, database:
            database.execute("UPDATE objects SET modified_at = ?", (before,))
        make_older(directory, before)
        young: set[str] = set()
        for life in range(LIVES + 1):
            with removing(directory) as process:
                assert process.stdout is not None
                for number in range(1 + life % 3):
                    await anyio.to_thread.run_sync(process.stdout.readline)
                    key = f"uploads/young {life} {number}"
                    await put(key)
                    young.add(key)
                if life < LIVES:  # each has had some to remove still
                    process.kill()
                else:
                    assert await anyio.to_thread.run_sync(process.wait) == 0
    assert back_up(directory, tmp_path / "backup", lambda _: None).missing == 0
    assert restore(tmp_path / "backup", tmp_path / "again", lambda _: None).missing == 0
    assert left(tmp_path / "again") == {key: key for key in young}


def make_older(directory: Path, posix_s: float) -> None:
    for path in (directory / schema.OBJECTS).glob("*/*"):
        os.utime(path, (posix_s,) * 2)

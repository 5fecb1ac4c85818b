"""Files that no row names: they are moved aside, none is removed, and a command brings them back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread
from structlog.testing import capture_logs

from support.backends import open_local
from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable
from thumbq.local import blobnames, recovering, schema
from thumbq.local.blobnames import Description
from thumbq.local.blobs import Blobs
from thumbq.local.database import open_database
from thumbq.local.orphans import Orphans
from thumbq.local.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thumbq.local.recovery import LostFile
    from thumbq.ports import Backend

REF = ObjectRef("local", "kept")


def ref(number: int) -> ObjectRef:
    return ObjectRef("local", f"uploads/original {number}")


def body(number: int) -> bytes:
    return b"original %d" % number


def files(directory: Path, *folders: str) -> set[Path]:
    return {path for folder in folders for path in (directory / folder).rglob("*") if path.is_file()}


def age(directory: Path, by_s: float = 7200) -> None:
    """Make all files older, as if they had been there for hours."""
    for path in files(directory, "objects", "tmp", "lost-and-found"):
        os.utime(path, (time.time() - by_s,) * 2)


async def look(directory: Path) -> None:
    async with open_database(directory) as database:
        await Orphans(database, Blobs(directory), SystemClock(), Random(1), directory=directory).look()


async def recovered(directory: Path, *, apply: bool = True) -> list[LostFile]:
    lost: list[LostFile] = []
    async with recovering(directory, clock=SystemClock()) as recovery:
        await (recovery.recover(lost.append) if apply else recovery.find(lost.append))
    return lost


async def put(directory: Path, *numbers: int) -> None:
    async with open_local(directory, clock=SystemClock()) as backend:
        for number in numbers:
            metadata = {"thumbq-presets": "thumbnail,large", "filename": f"%E7%8C%AB {number}.jpg"}
            await backend.store.put(ref(number), body(number), content_type="image/jpeg", metadata=metadata)


@pytest.fixture
async def older(directory: Path, tmp_path: Path) -> Path:
    """Return a directory with twelve originals, and the database of the time when it had three."""
    await put(directory, *range(3))
    copy = shutil.copy(directory / schema.DATABASE_NAME, tmp_path)
    await put(directory, *range(3, 12))
    shutil.copy(copy, directory / schema.DATABASE_NAME)
    age(directory)
    return directory


async def test_an_older_database_put_back_costs_no_original(older: Path) -> None:
    with capture_logs() as logs:
        await look(older)
    assert len(files(older, "objects")) == 3
    aside = files(older, "lost-and-found")
    assert {path.read_bytes() for path in aside} == {body(number) for number in range(3, 12)}
    [said] = logs
    assert (said["event"], said["log_level"], said["files"]) == ("orphans.moved_aside", "warning", 9)
    assert said["example"] in {path.name for path in aside}
    assert said["directory"] == str(older / "lost-and-found")


@pytest.mark.parametrize("looked", [True, False], ids=["moved aside", "not yet"])
async def test_what_an_older_database_does_not_know_comes_back_as_it_was(older: Path, *, looked: bool) -> None:
    if looked:
        await look(older)
    found = await recovered(older, apply=False)
    assert sorted(lost.key or "" for lost in found) == sorted(ref(number).key for number in range(3, 12))
    assert len(files(older, "lost-and-found")) == (9 if looked else 0)
    assert [lost.kept for lost in await recovered(older)] == [None] * 9
    assert files(older, "lost-and-found") == set()
    async with open_local(older, clock=SystemClock()) as backend:
        for number in range(12):
            info, stored = await backend.store.get(ref(number), max_bytes=100)
            assert stored == body(number)
            assert info.content_type == "image/jpeg"
            assert info.metadata == {"thumbq-presets": "thumbnail,large", "filename": f"%E7%8C%AB {number}.jpg"}
            assert info.etag == await backend.store.put(ref(99), stored, content_type="image/jpeg")
        listed = await backend.store.list("local", prefix="uploads/")
    back = {ref(number).key for number in range(3, 12)}
    assert all(one.modified_at < time.time() - 7000 for one in listed if one.key in back), "for reconcile"
    await look(older)
    assert await recovered(older) == []


async def test_an_object_that_was_replaced_after_the_older_database_comes_back_in_place_of_its_lost_file(
    older: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(older / schema.DATABASE_NAME, tmp_path / "copy")
    async with open_local(older, clock=SystemClock()) as backend:
        for text in (b"newer", b"newest"):
            await backend.store.put(ref(0), text, content_type="text/plain")
    shutil.copy(copy, older / schema.DATABASE_NAME)
    async with open_local(older, clock=SystemClock()) as backend:
        with pytest.raises(BackendUnavailable, match="damaged"):
            await backend.store.get(ref(0), max_bytes=100)
    age(older)
    back = {lost.key: lost.kept for lost in await recovered(older)}
    assert back[ref(0).key] is None
    async with open_local(older, clock=SystemClock()) as backend:
        assert (await backend.store.get(ref(0), max_bytes=100))[1] == b"newest"
    assert await recovered(older) == []


async def test_files_are_moved_when_they_are_old_and_no_row_names_them(backend: Backend, directory: Path) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    [kept] = files(directory, "objects")
    old, young = (directory / "objects" / "ab" / ("ab" + letter * 30) for letter in "cd")
    unfinished, theirs = directory / "tmp" / ("e" * 32), directory / "objects" / "ab" / "theirs.txt"
    for path in (old, young, unfinished, theirs):
        path.write_bytes(b"x")
    for path in (kept, old, unfinished, theirs):
        os.utime(path, (0, 0))
    await look(directory)
    assert files(directory, "objects", "tmp") == {kept, young, theirs}
    assert files(directory, "lost-and-found") == {directory / "lost-and-found" / old.name}
    assert (await backend.store.get(REF, max_bytes=10))[1] == b"kept"


async def test_what_has_no_key_or_another_object_stays_with_its_reason(backend: Backend, directory: Path) -> None:
    blobs = Blobs(directory)
    await backend.store.put(REF, b"newer", content_type="text/plain")
    blobs.write(b"older", Description(REF.key, "text/plain"))
    blobs.write(b"of an older release")
    blobs.write(b"crashed", Description("attempts/m.json", "application/json"))
    blobs.write(b"odd", Description("k" * 1025, "text/plain"))
    age(directory)
    reasons = sorted(lost.kept or "" for lost in await recovered(directory))
    assert [reason.split()[:3] for reason in reasons] == [
        ["a", "crash", "record,"],
        ["its", "key", "has"],
        ["its", "name", "has"],
        ["its", "name", "has"],
    ]
    assert (await backend.store.get(REF, max_bytes=10))[1] == b"newer"
    assert len(files(directory, "lost-and-found")) == 4


async def test_the_newest_of_several_files_of_one_key_comes_back(backend: Backend, directory: Path) -> None:
    for number, text in enumerate([b"one", b"three", b"two"]):
        name = Blobs(directory).write(text, Description(REF.key, "text/plain"))
        os.utime(Blobs(directory).path(name), (1000 + number % 2,) * 2)
    await recovered(directory)
    assert (await backend.store.get(REF, max_bytes=10))[1] == b"three"
    assert {path.read_bytes() for path in files(directory, "lost-and-found")} == {b"one", b"two"}


@pytest.mark.parametrize("command", ["look", "recover"])
async def test_a_put_whose_file_was_moved_meanwhile_is_told_to_come_again(
    directory: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(directory) as database:
        blobs, clock = Blobs(directory), SystemClock()
        blobs.prepare()
        orphans = Orphans(database, blobs, clock, Random(1), directory=directory)
        store, write = LocalStore(database, blobs, clock), database.write

        async def late(work: Callable[[sqlite3.Connection], object]) -> object:
            monkeypatch.setattr(database, "write", write)
            age(directory)
            await orphans.look()
            if command == "recover":
                assert [lost.kept for lost in await recovered(directory)] == [None]
            return await write(work)

        monkeypatch.setattr(database, "write", late)
        with pytest.raises(BackendUnavailable, match="moved aside"):
            await store.put(REF, b"slow", content_type="text/plain", if_absent=True)
        if command == "recover":
            assert (await store.get(REF, max_bytes=10))[1] == b"slow"
        await store.put(REF, b"again", content_type="text/plain")
        assert (await store.get(REF, max_bytes=10))[1] == b"again"


async def test_a_start_looks_at_no_file(older: Path) -> None:
    async with open_local(older, clock=SystemClock()) as backend:
        assert len(files(older, "objects")) == 12
        assert backend.upkeep is not None


async def test_a_directory_that_is_away_ends_no_look_for_good(
    backend: Backend, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.upkeep is not None
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise InterruptedError

    monkeypatch.setattr("anyio.sleep", sleep)
    away = await to_thread.run_sync(directory.rename, directory.parent / "away")
    with capture_logs() as logs, pytest.RaisesGroup(InterruptedError):
        await backend.upkeep.run()
    await to_thread.run_sync(away.rename, directory)
    assert [entry["event"] for entry in logs] == ["orphans.not_looked_for"] * 2
    assert all(seconds >= 1800 for seconds in slept)


@pytest.mark.parametrize(
    "description",
    [
        Description("uploads/a", "image/jpeg"),
        Description("inbox/猫 a,b=c^%2f\x00\n..", "", {"filename": "%E7,=", "a-b": ""}),
        Description("x" * 180, "image/png", {"thumbq-presets": "a"}),
    ],
)
def test_a_name_says_what_its_object_is(description: Description) -> None:
    name = blobnames.new(description, max_bytes=255)
    assert "/" not in name
    assert blobnames.is_name(name)
    assert name.isascii()
    assert name.isprintable()
    assert blobnames.described(name) == description


@pytest.mark.parametrize("room", [32, 82, 143, 255])
def test_a_name_has_what_there_is_room_for(room: int) -> None:
    whole = Description("uploads/" + "0" * 26, "image/jpeg", {"filename": "f" * 90, "thumbq-presets": "thumbnail"})
    name = blobnames.new(whole, max_bytes=room)
    assert len(name) <= room
    expected = {
        32: None,
        82: Description(whole.key, whole.content_type),
        143: Description(whole.key, whole.content_type, {"thumbq-presets": "thumbnail"}),
        255: whole,
    }
    assert blobnames.described(name) == expected[room]


@pytest.mark.parametrize("name", ["0" * 32, "0" * 32 + ",a", "0" * 32 + ",^ff,b", "0" * 32 + ",\udcff,b"])
def test_names_that_say_nothing_are_no_error(name: str) -> None:
    assert blobnames.described(name) in (None, Description("?", "b"))


async def test_one_folder_is_asked_for_at_a_time_by_an_index(directory: Path) -> None:
    await put(directory, 1)
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT blob FROM objects WHERE blob >= ? AND blob < ?", ("ab", "abg")
        ).fetchall()
    assert "COVERING INDEX" in plan[0][3]

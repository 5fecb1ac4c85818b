"""What a directory must be like, and that one which is not is left as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import SetupError
from thumbq.local import schema

if TYPE_CHECKING:
    from thumbq.ports import Backend

REF = ObjectRef("local", "kept")


@pytest.fixture
async def used(directory: Path) -> Path:
    """Return a directory that holds an object and a message."""
    async with open_local(directory, clock=SystemClock()) as backend:
        await backend.store.put(REF, b"kept", content_type="text/plain")
        await backend.queue.send("kept")
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def refused(directory: Path) -> str:
    with pytest.raises(SetupError) as refusal:
        async with open_local(directory, clock=SystemClock()):
            pass
    assert all(problem.fix for problem in refusal.value.problems)
    return str(refusal.value)


async def test_what_was_stored_is_there_after_opening_again(used: Path) -> None:
    async with open_local(used, clock=SystemClock()) as backend:
        assert (await backend.store.get(REF, max_bytes=10))[1] == b"kept"
        assert [m.body for m in await backend.queue.receive(max_messages=1, wait_s=0, visibility_timeout_s=9)] == [
            "kept"
        ]


async def test_a_missing_directory_is_made_with_its_parents(directory: Path) -> None:
    async with open_local(directory / "a" / "b", clock=SystemClock()) as backend:
        await backend.queue.send("a")


@pytest.fixture
def file(directory: Path) -> Path:
    directory.write_text("mine")
    return directory


async def test_a_file_is_no_directory(file: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    assert "cannot be used" in await refused(file)
    assert "cannot be used" in await refused(file / "below")
    assert contents(tmp_path) == before


async def test_a_file_system_that_takes_no_files_is_refused() -> None:
    assert "cannot be used" in await refused(Path("/proc/thumbq"))


async def test_a_newer_schema_is_refused_and_left_as_it_is(used: Path) -> None:
    with closing(sqlite3.connect(used / schema.DATABASE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    before = contents(used)
    assert "newer thumbq" in await refused(used)
    assert contents(used) == before


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / schema.DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    before = contents(tmp_path)
    assert "another program" in await refused(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("length", [10, 5000], ids=["short", "long"])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(used: Path, length: int) -> None:
    (used / schema.DATABASE_NAME).write_bytes(b"garbage!" * length)
    before = contents(used)
    assert "damaged" in await refused(used)
    assert contents(used) == before


@pytest.mark.parametrize("keep", [4096, 10_000], ids=["first page only", "middle of a page"])
async def test_a_database_that_was_cut_is_refused_and_left_as_it_is(used: Path, keep: int) -> None:
    os.truncate(used / schema.DATABASE_NAME, keep)
    before = contents(used)
    assert "damaged" in await refused(used)
    assert contents(used) == before


async def test_a_database_with_overwritten_pages_is_refused_and_left_as_it_is(used: Path) -> None:
    with (used / schema.DATABASE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)
    before = contents(used)
    assert "damaged" in await refused(used)
    assert contents(used) == before


@pytest.mark.parametrize("lost", ["missing", "empty"])
async def test_objects_without_their_database_are_not_swept_away(used: Path, lost: str) -> None:
    (used / schema.DATABASE_NAME).unlink()
    if lost == "empty":
        (used / schema.DATABASE_NAME).touch()
    for name in contents(used):
        os.utime(used / name, (0, 0))
    before = contents(used)
    assert "missing or empty" in await refused(used)
    assert contents(used) == before


async def test_a_journal_left_by_a_crash_is_rolled_back(used: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with closing(sqlite3.connect(used / schema.DATABASE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM messages")
        connection.executemany(
            "INSERT INTO dead_letters (id, body, sent_at, buried_at, receive_count) VALUES ('x', ?, 0, 0, 0)",
            [("x" * 9000,)] * 9,
        )
        shutil.copytree(used, copy)
        connection.execute("ROLLBACK")
    assert (copy / f"{schema.DATABASE_NAME}-journal").stat().st_size > 0
    async with open_local(copy, clock=SystemClock()) as backend:
        counts = await backend.queue.counts()
    assert (counts.visible, counts.dead) == (1, 0)


async def test_overwritten_and_deleted_objects_leave_no_files(backend: Backend, directory: Path) -> None:
    for body in (b"one", b"two"):
        await backend.store.put(REF, body, content_type="text/plain")
    assert [path.read_bytes() for path in files(directory)] == [b"two"]
    await backend.store.delete(REF)
    assert files(directory) == set()


def files(directory: Path) -> set[Path]:
    return {path for folder in ("objects", "tmp") for path in (directory / folder).rglob("*") if path.is_file()}

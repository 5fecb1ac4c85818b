"""A backup is complete, also one that is made while others write, and serves in the directory's place."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from local.test_processes import all_bodies, neighbour
from support.backends import open_local
from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, SetupError
from thumbq.local import schema
from thumbq.local.backup import BackedUp, back_up
from thumbq.local.signingsecret import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.ports import Backend

REF = ObjectRef("local", "kept")


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / schema.OBJECTS).rglob("*") if path.is_file()}


async def test_a_backup_has_all_and_serves(backend: Backend, directory: Path, tmp_path: Path) -> None:
    for number in range(5):
        await backend.store.put(ObjectRef("local", f"{number}"), b"%d" % number, content_type="text/plain")
    await backend.store.delete(ObjectRef("local", "4"))
    await backend.queue.send("a message")
    copied: list[int] = []
    done = await to_thread.run_sync(back_up, directory, tmp_path / "a" / "backup", copied.append)
    assert done == BackedUp(4, 4, 0)
    assert sum(copied) == 4
    assert (tmp_path / "a" / "backup" / FILE_NAME).read_bytes() == (directory / FILE_NAME).read_bytes()
    await backend.store.put(ObjectRef("local", "0"), b"changed", content_type="text/plain")
    async with open_local(tmp_path / "a" / "backup", clock=SystemClock()) as restored:
        for number in range(4):
            assert (await restored.store.get(ObjectRef("local", f"{number}"), max_bytes=10))[1] == b"%d" % number
        assert await all_bodies(restored) == ["a message"]


async def test_a_backup_made_while_another_process_writes_is_complete(directory: Path, tmp_path: Path) -> None:
    """The neighbour overwrites objects all the time: each of their files lives for milliseconds."""
    with neighbour(directory, "write", "x") as process:
        assert process.stdout is not None
        for _ in range(50):
            await to_thread.run_sync(process.stdout.readline)
        backups = [tmp_path / f"backup {number}" for number in range(5)]
        for backup in backups:
            assert (await to_thread.run_sync(back_up, directory, backup, lambda _: None)).missing == 0
        process.kill()
        confirmed = process.stdout.read()
    assert "wrote" in confirmed
    for backup in backups:
        async with open_local(backup, clock=SystemClock()) as restored:
            # A slow backup has more than a page of them.
            listed = await restored.store.list("local", prefix="", limit=1 << 20)
            for one in listed:
                await restored.store.get(ObjectRef("local", one.key), max_bytes=1 << 20)
            assert len(files(backup)) == len(listed) > 0
            sent = await all_bodies(restored)
            assert set(sent) <= {one.key for one in listed}, "a message is sent after its original is stored"


async def test_files_are_copied_where_they_cannot_be_linked(
    backend: Backend, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_file_system(source: Path, destination: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(destination))

    await backend.store.put(REF, b"kept", content_type="text/plain")
    monkeypatch.setattr(os, "link", another_file_system)
    assert back_up(directory, tmp_path / "backup", lambda _: None) == BackedUp(1, 0, 0)
    assert files(tmp_path / "backup") == files(directory)


async def test_an_object_without_its_file_is_counted(backend: Backend, directory: Path, tmp_path: Path) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    for path in (directory / schema.OBJECTS).glob("*/*"):
        path.unlink()
    assert back_up(directory, tmp_path / "backup", lambda _: None) == BackedUp(0, 0, 1)


async def test_a_directory_that_nobody_may_write_to_is_backed_up(
    backend: Backend, directory: Path, tmp_path: Path
) -> None:
    """Its disk may be full, or somebody writes all the time: no lock is asked for that a writer has."""
    await backend.store.put(REF, b"kept", content_type="text/plain")
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert back_up(directory, tmp_path / "backup", lambda _: None) == BackedUp(1, 1, 0)


async def test_what_no_object_has_is_in_no_backup_and_not_counted(
    backend: Backend, directory: Path, tmp_path: Path
) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    (directory / schema.OBJECTS / "00" / f"{0:032x}").write_bytes(b"left by a kill")
    assert back_up(directory, tmp_path / "backup", lambda _: None) == BackedUp(1, 1, 0)
    assert list(files(tmp_path / "backup").values()) == [b"kept"]


@pytest.mark.parametrize("taken", ["itself", "not empty"])
async def test_a_directory_that_has_something_is_no_place_for_a_backup(
    backend: Backend, directory: Path, tmp_path: Path, taken: str
) -> None:
    del backend
    (tmp_path / "mine").touch()
    with pytest.raises(SetupError, match="is not empty"):
        back_up(directory, directory if taken == "itself" else tmp_path, lambda _: None)
    assert (tmp_path / "mine").exists()


async def test_a_backup_that_was_cut_off_is_no_directory_to_serve(
    backend: Backend, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await backend.store.put(REF, b"kept", content_type="text/plain")
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(BackendUnavailable, match="disk is full"):
        back_up(directory, tmp_path / "backup", lambda _: None)
    with pytest.raises(SetupError, match="missing or empty"):
        async with open_local(tmp_path / "backup", clock=SystemClock()):
            pass

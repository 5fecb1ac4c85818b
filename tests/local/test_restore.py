"""A restored directory has each row's file and each file's row, whatever happened to the backup, and serves."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import tarfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from local.test_processes import all_bodies, neighbour
from support.backends import open_local
from support.commands import thumbq
from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.errors import SetupError
from thumbq.local import schema
from thumbq.local.backup import BackedUp, back_up
from thumbq.local.restore import Restored, restore
from thumbq.local.signingsecret import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.ports import Backend

FORMS = pytest.mark.parametrize("form", ["backup", "backup.tar"])


def quiet(_: int) -> None:
    pass


def consistent(directory: Path) -> set[str]:
    """Return the keys; each row has a file of its size, and there are no other files."""
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME)) as database:
        rows = database.execute("SELECT key, blob, size FROM objects").fetchall()
    files = {path.name: path.stat().st_size for path in (directory / schema.OBJECTS).rglob("*") if path.is_file()}
    assert files == {blob: size for _, blob, size in rows}
    return {key for key, _, _ in rows}


def left(directory: Path, pattern: str) -> list[Path]:
    return list(directory.rglob(pattern))


async def put(backend: Backend, key: str, body: bytes) -> None:
    await backend.store.put(ObjectRef("local", key), body, content_type="text/plain", metadata={"a": "b"})


@FORMS
async def test_what_is_restored_serves(backend: Backend, directory: Path, tmp_path: Path, form: str) -> None:
    for number in range(5):
        await put(backend, f"uploads/{number}", b"%d" % number)
    await backend.queue.send("a message")
    assert back_up(directory, tmp_path / form, quiet).files == 5
    assert restore(tmp_path / form, tmp_path / "again", quiet) == Restored(5, 0)
    assert consistent(tmp_path / "again") == {f"uploads/{number}" for number in range(5)}
    secret = tmp_path / "again" / FILE_NAME
    assert secret.read_bytes() == (directory / FILE_NAME).read_bytes()
    assert secret.stat().st_mode & 0o077 == 0
    async with open_local(tmp_path / "again", clock=SystemClock()) as restored:
        for number in range(5):
            info, body = await restored.store.get(ObjectRef("local", f"uploads/{number}"), max_bytes=10)
            assert (body, info.metadata) == (b"%d" % number, {"a": "b"})
        assert await all_bodies(restored) == ["a message"]
    assert not left(tmp_path, "*unfinished*")


@FORMS
async def test_a_backup_made_while_another_process_writes_is_restored_whole(
    directory: Path, tmp_path: Path, form: str
) -> None:
    with neighbour(directory, "write", "x") as process:
        assert process.stdout is not None
        for _ in range(50):
            await to_thread.run_sync(process.stdout.readline)
        assert (await to_thread.run_sync(back_up, directory, tmp_path / form, quiet)).missing == 0
        process.kill()
    restored = await to_thread.run_sync(restore, tmp_path / form, tmp_path / "again", quiet)
    assert restored.missing == 0
    found = consistent(tmp_path / "again")
    assert len(found) == restored.files > 0
    async with open_local(tmp_path / "again", clock=SystemClock()) as backend:
        assert set(await all_bodies(backend)) <= found, "a message is sent after its original is stored"


async def test_rows_without_a_whole_file_and_files_without_a_row_are_left_out(
    backend: Backend, directory: Path, tmp_path: Path
) -> None:
    for key in ("whole", "cut", "gone"):
        await put(backend, key, key.encode())
    back_up(directory, tmp_path / "backup", quiet)
    for path in (tmp_path / "backup" / schema.OBJECTS).rglob("*,cut,*"):
        path.unlink()
        path.write_bytes(b"c")
    for path in (tmp_path / "backup" / schema.OBJECTS).rglob("*,gone,*"):
        path.rename(path.with_name("0" * 32))
    assert restore(tmp_path / "backup", tmp_path / "again", quiet) == Restored(1, 2)
    assert consistent(tmp_path / "again") == {"whole"}


async def test_a_later_backup_links_to_the_files_of_an_earlier_one(
    backend: Backend, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(backend, "old", b"old")
    monday, tuesday = tmp_path / "monday", tmp_path / "tuesday"
    back_up(directory, monday, quiet)
    await put(backend, "new", b"new")
    link = os.link

    def as_on_another_disk(source: Path, destination: Path) -> None:
        if directory in source.parents:
            raise OSError("another file system")
        link(source, destination)

    monkeypatch.setattr(os, "link", as_on_another_disk)
    assert back_up(directory, tuesday, quiet, previous=monday) == BackedUp(2, 1, 0)
    assert consistent(tuesday) == {"old", "new"}
    with pytest.raises(SetupError, match="is no backup"):
        back_up(directory, tmp_path / "wednesday", quiet, previous=tmp_path / "sunday")
    [cut] = (monday / schema.OBJECTS).rglob("*,old,*")
    cut.unlink()
    cut.write_bytes(b"o")
    assert back_up(directory, tmp_path / "thursday", quiet, previous=monday) == BackedUp(2, 0, 0)
    assert consistent(tmp_path / "thursday") == {"old", "new"}


@FORMS
async def test_a_directory_that_is_not_empty_is_refused_and_left_as_it_is(
    backend: Backend, directory: Path, tmp_path: Path, form: str
) -> None:
    await put(backend, "kept", b"kept")
    back_up(directory, tmp_path / form, quiet)
    with pytest.raises(SetupError, match="is not empty"):
        restore(tmp_path / form, directory, quiet)
    with pytest.raises(SetupError, match=r"not empty|there already"):
        back_up(directory, tmp_path / form, quiet)
    assert consistent(directory) == {"kept"}


@pytest.mark.parametrize("what", ["missing", "empty", "cut off", "text", "another.tar"])
def test_what_is_no_finished_backup_is_refused(tmp_path: Path, what: str) -> None:
    backup = tmp_path / what
    if what in ("empty", "cut off"):
        backup.mkdir()
    if what == "cut off":
        (backup / "unfinished.sqlite3").touch()
    if what == "text":
        backup.write_text("no backup")
    if what == "another.tar":
        tarfile.open(backup, "w").close()
    with pytest.raises(SetupError, match="is no backup"):
        restore(backup, tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("what", ["cut.tar", "cut in a header.tar", "no database", "a page is another"])
async def test_a_damaged_backup_is_refused_and_makes_no_directory_of_thumbqs(
    backend: Backend, directory: Path, tmp_path: Path, what: str
) -> None:
    await put(backend, "kept", b"kept" * 1000)
    backup = tmp_path / what
    back_up(directory, backup, quiet)
    if backup.suffix:
        backup.write_bytes(backup.read_bytes()[: 3000 if what == "cut.tar" else 300])
    elif what == "no database":
        (backup / schema.DATABASE_NAME).write_bytes(b"junk" * 100)
    else:
        with (backup / schema.DATABASE_NAME).open("r+b") as database:
            database.seek(4096 * 2)
            database.write(b"\xff" * 4096)
    with pytest.raises(SetupError, match=r"is (damaged|no backup)"):
        restore(backup, tmp_path / "again", quiet)
    assert not (tmp_path / "again" / schema.DATABASE_NAME).exists()


async def test_a_compressed_archive_is_no_backup_and_a_file_no_place_for_one(
    backend: Backend, directory: Path, tmp_path: Path
) -> None:
    await put(backend, "kept", b"kept")
    back_up(directory, tmp_path / "b.tar", quiet)
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress((tmp_path / "b.tar").read_bytes()))
    with pytest.raises(SetupError, match="is no backup"):
        restore(tmp_path / "b.tar.gz", tmp_path / "again", quiet)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="is no directory"):
        restore(tmp_path / "b.tar", tmp_path / "file", quiet)
    with pytest.raises(SetupError, match="is no directory"):
        back_up(directory, tmp_path / "file", quiet)


async def test_an_archive_that_names_other_places_writes_to_none_of_them(
    backend: Backend, directory: Path, tmp_path: Path
) -> None:
    await put(backend, "kept", b"kept")
    back_up(directory, tmp_path / "backup.tar", quiet)
    with tarfile.open(tmp_path / "backup.tar", "a") as tar:
        for name in ("../evil", "objects/../../evil", f"objects/00/{'0' * 32}/../../../evil", "/tmp/evil", "evil"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo(f"objects/00/{'0' * 32}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert restore(tmp_path / "backup.tar", tmp_path / "again", quiet) == Restored(1, 0)
    assert consistent(tmp_path / "again") == {"kept"}
    assert not left(tmp_path, "evil")


async def test_the_commands_back_up_and_restore(backend: Backend, directory: Path, tmp_path: Path) -> None:
    await put(backend, "kept", b"kept")
    made = await to_thread.run_sync(thumbq, "local", "backup", str(tmp_path / "b.tar"), "--local", str(directory))
    assert (made.exit_code, made.stdout) == (0, f"{tmp_path / 'b.tar'}: the database and 1 files\n")
    arguments = ["local", "restore", str(tmp_path / "b.tar"), "--local", str(tmp_path / "again")]
    assert (await to_thread.run_sync(thumbq, *arguments)).exit_code == 0
    again = await to_thread.run_sync(thumbq, *arguments)
    assert again.exit_code == 2
    assert "move this one away first" in again.stderr

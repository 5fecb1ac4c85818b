"""The thread behind the backend: group commit, failures, cancellation, and a loop that never blocks."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.patience import within
from thumbq.core.job import ObjectRef
from thumbq.errors import BackendUnavailable, NotSent, ObjectExists
from thumbq.local import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thumbq.ports import Backend

REF = ObjectRef("local", "kept")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the database's write lock, as another process in the middle of a transaction does."""
    with closing(sqlite3.connect(directory / schema.DATABASE_NAME, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """Make the system refuse to let any file grow past ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def change_counter(directory: Path) -> int:
    """Return the number of transactions that changed the database (SQLite's file format, offset 24)."""
    return int.from_bytes((directory / schema.DATABASE_NAME).read_bytes()[24:28], "big")


async def test_what_waits_for_one_commit_shares_the_next(backend: Backend, directory: Path) -> None:
    before = change_counter(directory)
    with locked(directory):
        sends = [asyncio.ensure_future(backend.queue.send(f"{number}")) for number in range(50)]
        await asyncio.sleep(0)  # lets them reach the thread
    await asyncio.gather(*sends)
    assert change_counter(directory) - before <= 2
    assert (await backend.queue.counts()).visible == 50


async def test_an_operation_that_fails_takes_no_other_with_it(backend: Backend, directory: Path) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    with locked(directory):
        put = asyncio.ensure_future(backend.store.put(REF, b"no", content_type="text/plain", if_absent=True))
        sends = [asyncio.ensure_future(backend.queue.send(f"{number}")) for number in range(20)]
        with within(5):
            while len(files(directory)) < 2:  # noqa: ASYNC110 - a file on disk has no event
                await anyio.sleep(0.005)
    with pytest.raises(ObjectExists):
        await put
    await asyncio.gather(*sends)
    assert (await backend.queue.counts()).visible == 20
    assert [path.read_bytes() for path in files(directory)] == [b"kept"]


async def test_the_loop_goes_on_while_the_database_waits(backend: Backend, directory: Path) -> None:
    with locked(directory):
        send = asyncio.ensure_future(backend.queue.send("a"))
        for _ in range(20):
            await anyio.sleep(0.005)
        assert not send.done()
    with within(5):
        await send


async def test_files_are_never_written_on_the_loop_s_thread(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        threads.append(threading.get_ident())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    await backend.store.put(REF, bytes(1 << 20), content_type="text/plain")
    assert len(threads) >= 2
    assert threading.get_ident() not in threads


async def test_a_lock_that_is_held_too_long_says_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_S", 0.05)
    async with open_local(directory, clock=SystemClock()) as backend:
        with locked(directory), pytest.raises(NotSent, match="another process holds"):
            await backend.queue.send("a")
        await backend.queue.send("b")
        assert (await backend.queue.counts()).visible == 1


async def test_a_cancelled_receive_gives_back_what_it_took(backend: Backend, directory: Path) -> None:
    await backend.queue.send("a")
    with locked(directory):
        receive = asyncio.ensure_future(backend.queue.receive(max_messages=1, wait_s=9, visibility_timeout_s=600))
        await anyio.sleep(0.05)  # it is waiting for the lock, or has not looked yet: the claim holds for both
        receive.cancel()
        await asyncio.wait([receive])
    assert receive.cancelled()
    with within(5):
        [message] = await backend.queue.receive(max_messages=1, wait_s=4, visibility_timeout_s=9)
    assert message.receive_count == 1


async def test_receives_cancelled_at_any_moment_hide_nothing(backend: Backend) -> None:
    for _ in range(250):
        await backend.queue.send("a")
    received, cut_off, limit_s = 0, 0, 0.0001
    while received < 40:
        with anyio.move_on_after(limit_s) as limit:
            taken = await backend.queue.receive(max_messages=2, wait_s=9, visibility_timeout_s=600)
            received += len(taken)
        cut_off += limit.cancelled_caught
        limit_s *= 1.04
    counts = await backend.queue.counts()
    assert counts.in_flight == received
    assert cut_off > 0


async def test_a_full_disk_refuses_an_object_and_keeps_the_old_one(backend: Backend, directory: Path) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    with no_file_over(100_000), pytest.raises(BackendUnavailable, match="disk is full"):
        await backend.store.put(REF, bytes(200_000), content_type="text/plain")
    assert (await backend.store.get(REF, max_bytes=10))[1] == b"kept"
    assert [path.read_bytes() for path in files(directory)] == [b"kept"]


async def test_a_full_disk_refuses_messages_and_keeps_the_old_ones(backend: Backend, directory: Path) -> None:
    await backend.queue.send("kept")
    with no_file_over((directory / schema.DATABASE_NAME).stat().st_size), pytest.raises(BackendUnavailable):
        await backend.queue.send("x" * 100_000)
    await backend.queue.send("after")
    received = await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=600)
    assert [message.body for message in received] == ["kept", "after"]


async def test_damage_while_running_is_reported(backend: Backend, directory: Path) -> None:
    await backend.store.put(REF, b"kept", content_type="text/plain")
    [blob] = files(directory)
    blob.unlink()
    with pytest.raises(BackendUnavailable, match="damaged"):
        await backend.store.get(REF, max_bytes=10)
    with (directory / schema.DATABASE_NAME).open("r+b") as database:
        database.write(b"\xa5" * 40_000)
    with pytest.raises(BackendUnavailable, match=r"damaged|no SQLite database"):
        await backend.queue.counts()


async def test_a_closed_backend_says_so(directory: Path) -> None:
    async with open_local(directory, clock=SystemClock()) as backend:
        pass
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.queue.send("a")


def files(directory: Path) -> list[Path]:
    return [path for folder in ("objects", "tmp") for path in (directory / folder).rglob("*") if path.is_file()]

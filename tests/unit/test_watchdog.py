"""The watchdog of a stop: it waits for the beginning, and then for the deadline; it says what hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from structlog.testing import capture_logs

from support.patience import until
from thumbq import watchdog
from thumbq.local.database import open_database
from thumbq.watchdog import Watchdog

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the exit codes with which the process would end."""
    codes: list[int] = []

    def end(code: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        codes.append(code)

    monkeypatch.setattr(os, "_exit", end)
    return codes


async def test_what_hangs_at_the_deadline_is_named_and_the_process_ends(
    ends: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    reader, writer = os.pipe()
    hangs = threading.Event()

    def hang(_: object) -> None:
        hangs.set()
        os.read(reader, 1)

    async with open_database(tmp_path) as database, anyio.create_task_group() as tasks:
        await database.read(lambda _: None)
        tasks.start_soon(database.read, hang)
        await until(hangs.is_set, within_s=1, what="the operation")
        with capture_logs() as lines:
            hung = Watchdog(7)
            assert (ends, slept) == ([], [])
            hung.begin()
            hung.begin()
            await until(lambda: ends, within_s=1, what="the end")
        os.write(writer, b"-")
    os.close(reader)
    os.close(writer)
    assert (ends, slept) == ([1], [7, watchdog.GRACE_S])
    [line] = lines
    assert (line["event"], line["log_level"]) == ("service.stop_hung", "error")
    places = {where.partition(": ")[0]: where.partition(": ")[2] for where in line["threads"]}
    innermost, _, ours = places["thumbq-database"].partition(" from ")
    assert innermost.endswith(" hang")
    assert ours.startswith("thumbq.local.database:")


async def test_threads_that_wait_for_work_do_not_hang(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.read(lambda _: None)
        await until(
            lambda: not any("thumbq-database" in where for where in watchdog._hung_threads()),
            within_s=1,
            what="the database's thread to wait",
        )


async def test_each_of_several_threads_of_one_name_is_seen() -> None:
    """The threads that work for the event loop have one name, and a hung one among those that wait is to be told."""
    reader, writer = os.pipe()
    waits = threading.Event()
    threads = [
        threading.Thread(target=waits.wait, name="the same"),
        threading.Thread(target=os.read, args=(reader, 1), name="the same"),
        threading.Thread(target=waits.wait, name="the same"),
    ]

    def hung() -> list[str]:
        return [where for where in watchdog._hung_threads() if where.startswith("the same: ")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchdog, "_WAITING", {("threading", "wait")})
        for thread in threads:
            thread.start()
        await until(lambda: len(hung()) == 1, within_s=1, what="the one that hangs alone")
    os.write(writer, b"-")
    waits.set()
    for thread in threads:
        thread.join()
    os.close(reader)
    os.close(writer)

"""Several processes on one directory, and processes that die."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.patience import within
from thumbq.core.job import ObjectRef
from thumbq.local import open_local_queues
from thumbq.ports import QueueCounts

WAIT_S = 3600

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.figures import AtMost
    from thumbq.ports import Backend


@contextmanager
def neighbour(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run neighbour.py on the directory; leaving kills it with signal 9."""
    script = Path(__file__).parent / "neighbour.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(directory), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def confirmed_until_kill_9(directory: Path, life: int) -> list[list[str]]:
    """Return what a writing process said was certain before it was killed at a random moment."""
    lines = []
    with neighbour(directory, "write", str(life)) as process:
        assert process.stdout is not None
        lines += [process.stdout.readline() for _ in range(random.randint(1, 150))]
        process.kill()
        lines += process.stdout.readlines()
    return [line.split() for line in lines if line.endswith("\n")]


async def test_kill_9_loses_nothing_that_was_confirmed(directory: Path) -> None:
    confirmed: list[list[str]] = []
    for life in range(4):
        confirmed += await to_thread.run_sync(confirmed_until_kill_9, directory, life)

    async with open_local(directory, clock=SystemClock()) as backend:
        overwritten: dict[str, int] = {}
        for word, key, *number in confirmed:
            if word == "put":
                _, body = await backend.store.get(ObjectRef(backend.bucket, key), max_bytes=1 << 20)
                assert body == f"{key} ".encode() * 4000
            if word == "wrote":
                overwritten[key] = int(number[0])
        for key, number_confirmed in overwritten.items():
            _, body = await backend.store.get(ObjectRef(backend.bucket, key), max_bytes=100)
            assert int(body) >= number_confirmed
        in_queue = await all_bodies(backend)

    sent = {key for word, key, *_ in confirmed if word == "sent"}
    assert sent
    assert sent <= set(in_queue)
    assert len(in_queue) == len(set(in_queue))


async def all_bodies(backend: Backend) -> list[str]:
    bodies = []
    while batch := await backend.queue.receive(max_messages=10, wait_s=0, visibility_timeout_s=600):
        bodies += [message.body for message in batch]
    return bodies


async def test_two_processes_share_a_queue_without_double_delivery(backend: Backend, directory: Path) -> None:
    sent = [await backend.queue.send("a") for _ in range(300)]
    outputs: list[str] = []

    async def finish(process: subprocess.Popen[str]) -> None:
        output, _ = await to_thread.run_sync(process.communicate, "\n")
        outputs.append(output)

    with neighbour(directory, "consume") as one, neighbour(directory, "consume") as two:
        for process in (one, two):
            assert process.stdout is not None
            assert await to_thread.run_sync(process.stdout.readline) == "ready\n"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(finish, one)
            tasks.start_soon(finish, two)

    assert sorted("".join(outputs).split()) == sorted(sent)
    assert all(outputs)


async def test_a_long_poll_hears_of_another_process(backend: Backend, directory: Path) -> None:
    with within(10):  # and not when the poll ends
        await _delays(backend, directory, 1)


@pytest.mark.measured
async def test_a_long_poll_hears_of_another_process_within_200_ms(
    backend: Backend, directory: Path, at_most: AtMost
) -> None:
    # The body's time is taken before the send's own fsync.
    at_most("seconds from the send to the end of the poll", max(await _delays(backend, directory, 5)), 0.2)


async def _delays(backend: Backend, directory: Path, times: int) -> list[float]:
    delays = []
    with neighbour(directory, "send") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await to_thread.run_sync(process.stdout.readline)
        for _ in range(times):
            poll = asyncio.ensure_future(backend.queue.receive(max_messages=1, wait_s=WAIT_S, visibility_timeout_s=60))
            await anyio.sleep(0.05)  # lets the poll begin; sent before it, the claim would be easier
            process.stdin.write("\n")
            process.stdin.flush()
            [message] = await poll
            delays.append(time.monotonic() - float(message.body))
    return delays


async def test_a_put_if_absent_race_of_processes_has_one_winner(backend: Backend, directory: Path) -> None:
    ref = ObjectRef(backend.bucket, "raced")
    async with open_local(directory, clock=SystemClock()) as other:
        outcomes = await asyncio.gather(
            *(
                each.store.put(ref, b"%d" % number, content_type="text/plain", if_absent=True)
                for number, each in enumerate([backend, other] * 6)
            ),
            return_exceptions=True,
        )
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 1


async def test_processes_that_share_a_fifo_queue_keep_its_order_also_when_one_is_killed(directory: Path) -> None:
    sent = [f"{group} {number}" for number in range(12) for group in "abcd"]
    outputs: list[str] = []

    async def finish(process: subprocess.Popen[str], *, killed_after: int = sys.maxsize) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        while line := await to_thread.run_sync(process.stdout.readline):
            outputs.append(line)
            if len(outputs) >= killed_after:
                process.kill()

    async with open_local_queues(directory, clock=SystemClock(), queues=("q.fifo",)) as (backend,):
        for body in sent:
            await backend.queue.send(body, group=body[0])
        with neighbour(directory, "follow", "q.fifo") as one, neighbour(directory, "follow", "q.fifo") as doomed:
            for process in (one, doomed):
                assert process.stdout is not None
                assert await to_thread.run_sync(process.stdout.readline) == "ready\n"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(finish, one)
                tasks.start_soon(partial(finish, doomed, killed_after=10))
        assert await backend.queue.counts() == QueueCounts(visible=0, in_flight=0, delayed=0, dead=0)

    reported = sorted((float(at), body) for at, body in (line.split(" ", 1) for line in "".join(outputs).splitlines()))
    for group in "abcd":
        order = [int(body.split()[1]) for _, body in reported if body.startswith(group)]
        assert order == sorted(order)
        assert set(order) == set(range(12))

"""The channel of a render process, both ends here: what is asked arrives, and no more is taken than an answer."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import patience
from thumbq.pool.channel import SMALL_BYTES, Answer, Job, ProcessEnd
from thumbq.pool.original import Original
from thumbq.pool.parentend import ParentEnd
from thumbq.pool.replies import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 1 << 20
_LEFT_OPEN = """
from functools import partial
from thumbq.pool.entrypoint import render_image
from thumbq.pool.processhandle import ProcessHandle
from thumbq.imaging import Limits
ProcessHandle(partial(render_image, limits=Limits()), memory_limit_bytes=1 << 30, sandbox="off").start()
print("started")
"""


@contextmanager
def channel() -> Iterator[tuple[ParentEnd, socket.socket]]:
    ours, theirs = socket.socketpair()
    end = ParentEnd(ours, max_body_bytes=_LIMIT)
    with theirs:
        yield end, theirs
        end.leave_loop()
        end.close()


async def test_jobs_and_answers_come_over_in_turn() -> None:
    with channel() as (end, theirs):
        process = ProcessEnd(theirs)
        for small, bodies in [(b"", []), (b"original", [b"one", b"", b"two"]), (bytes(SMALL_BYTES), [bytes(99_999)])]:
            job = Job(b"presets", small, cpu_s=1.5, give_back=bool(small))
            answer = end.send(job)
            assert process.receive() == job
            with anyio.fail_after(patience(5)):
                await anyio.to_thread.run_sync(process.answer, b"{}", bodies)
                assert await answer == Answer(b"{}", b"".join(bodies))


async def test_presets_may_be_more_than_a_socket_takes_at_once() -> None:
    with channel() as (end, theirs):
        job = Job(os.urandom(3 << 20), b"original")
        end.send(job)
        with anyio.fail_after(patience(5)):
            assert await anyio.to_thread.run_sync(ProcessEnd(theirs).receive) == job


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing, then the end"),
        pytest.param(struct.pack("!IQ", 4, 0) + b"{}", id="half an answer, then the end"),
        pytest.param(struct.pack("!IQ", MAX_BYTES + 1, 0), id="the head of too long a reply"),
        pytest.param(struct.pack("!IQ", 2, _LIMIT + 1), id="the head of too many bodies"),
        pytest.param(struct.pack("!IQ", 2, 0) + b"{}{", id="more than an answer"),
    ],
)
async def test_what_is_no_answer_counts_as_the_end_of_the_process(said: bytes) -> None:
    with channel() as (end, theirs):
        answer = end.send(Job(b"presets"))
        theirs.sendall(said)
        if said in {b"", struct.pack("!IQ", 4, 0) + b"{}"}:
            theirs.shutdown(socket.SHUT_WR)
        with anyio.fail_after(patience(5)), pytest.raises(BrokenProcessPool):
            await answer
        with pytest.raises(OSError, match="hung up"):
            end.send(Job(b"presets"))


async def test_a_process_that_says_something_without_a_job_gets_none() -> None:
    with channel() as (end, theirs):
        answer = end.send(Job(b"presets"))
        ProcessEnd(theirs).answer(b"{}", [])
        await answer
        ProcessEnd(theirs).answer(b"{}", [])
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(OSError, match="hung up"):
            end.send(Job(b"presets"))


def test_a_process_sees_its_parent_hang_up() -> None:
    with channel() as (end, theirs):
        end.hang_up()
        assert ProcessEnd(theirs).receive() is None


def test_an_original_is_here_up_to_a_bound_and_in_a_memory_file_beyond() -> None:
    with Original() as original:
        original.write(bytes(SMALL_BYTES - 1))
        original.write(memoryview(b"x"))
        assert (original.file is None, len(original.small)) == (True, SMALL_BYTES)
        original.write(b"y")
        assert original.file is not None
        assert (len(original.small), os.fstat(original.file.fd).st_size) == (0, SMALL_BYTES + 1)
        original.write(b"z")
        assert os.pread(original.file.fd, 3, SMALL_BYTES - 1) == b"xyz"


def test_a_program_that_leaves_a_process_open_ends_nevertheless() -> None:
    command = [sys.executable, "-c", _LEFT_OPEN]
    done = subprocess.run(command, capture_output=True, timeout=patience(10), check=False)
    assert (done.returncode, done.stdout) == (0, b"started\n")

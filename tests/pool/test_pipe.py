"""The process behind two pipes; the tests that take ``way`` hold it to the same as one in an executor."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.patience import patience
from thumbq.errors import Problem
from thumbq.pool.pipe import PipeExecutor, semaphores_exist

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTEXT = multiprocessing.get_context("fork")
_LEFT_OPEN = """
import multiprocessing
from thumbq.pool.pipe import PipeExecutor
pipes = PipeExecutor(mp_context=multiprocessing.get_context("forkserver"), initializer=int, initargs=())
print(pipes.submit({}.clear).result())
"""


@contextmanager
def pipes() -> Iterator[PipeExecutor]:
    executor = PipeExecutor(mp_context=_CONTEXT, initializer=int, initargs=())
    try:
        yield executor
    finally:
        executor._process.kill()
        executor.shutdown()


@pytest.mark.parametrize("value", [None, Problem("no sändbox", "install it")])
def test_what_a_call_gives_comes_back(value: Problem | None) -> None:
    with pipes() as executor:
        assert executor.submit(_Gives(value)).result(5) == value


@pytest.mark.parametrize("error", [RuntimeError("images do not render"), ValueError("a\udcffb"), KeyError()])
def test_what_a_call_raises_comes_back_as_its_text(error: Exception) -> None:
    with pipes() as executor:
        with pytest.raises(RuntimeError) as raised:
            executor.submit(_Raises(error)).result(5)
        assert str(raised.value).replace("?", "\udcff") == (str(error) or "KeyError")
        assert executor.submit({}.clear).result(5) is None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\0\0\0\2{]", id="no JSON"),
        pytest.param(b"\0\0\0\2[]", id="another type"),
        pytest.param(b"\0\0\0\x0b" + b'{"error":1}', id="a number for a text"),
        pytest.param((2 << 20).to_bytes(4, "big"), id="too long"),
        pytest.param(b"\0\0\1\0half", id="half an answer, then the end"),
    ],
)
def test_an_answer_that_makes_no_sense_counts_as_the_end_of_the_process(raw: bytes) -> None:
    with pipes() as executor, pytest.raises(BrokenProcessPool):
        executor.submit(_Writes(raw)).result(5)


def test_a_program_that_leaves_a_process_behind_ends_nevertheless() -> None:
    done = subprocess.run([sys.executable, "-c", _LEFT_OPEN], capture_output=True, timeout=patience(10), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"None\n", b"")


def test_this_machine_has_semaphores_so_that_an_executor_is_what_the_other_tests_are_about() -> None:
    assert semaphores_exist()


class _Gives:
    def __init__(self, value: Problem | None) -> None:
        self._value = value

    def __call__(self) -> Problem | None:
        return self._value


class _Raises:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self) -> None:
        raise self._error


class _Writes:
    """Writes to the way back by itself, and ends the process."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __call__(self) -> None:
        frame = sys._getframe()
        while "answers" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        os.write(frame.f_locals["answers"].fileno(), self._raw)
        os._exit(0)

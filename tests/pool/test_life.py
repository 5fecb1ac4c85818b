"""How a program's processes start and end, seen from outside."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.patience import patience, until
from support.processes import marked_render
from support.replicas.replica import Replica, alive, kill
from thumbq.errors import SetupError
from thumbq.pool import PoolConfig
from thumbq.pool.processhandle import ProcessHandle
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("program.py")
SECRETS = {"AWS_SECRET_ACCESS_KEY": "wJalr", "THUMBQ_BUCKET": "b", "DATABASE_PASSWORD": "p", "LC_ALL": "C.UTF-8"}


@contextmanager
def program(directory: Path, *marks: str) -> Iterator[tuple[Replica, subprocess.Popen[bytes]]]:
    """Run the program with one render for each mark; give its tree and it."""
    announced = directory / "started"
    announced.touch()
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(PROGRAM), *marks],
        cwd=directory,
        env={**os.environ, **SECRETS, "PYTHONPATH": paths, marked_render.STARTED_IN: str(announced)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    tree = Replica(process, directory)
    try:
        yield tree, process
    finally:
        left = tree.children()
        process.kill()
        process.communicate()
        for pid in left:
            kill(pid)


def processes(process: subprocess.Popen[bytes]) -> list[int]:
    """Read the program's first lines."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"main module\n"
    pids: list[int] = json.loads(process.stdout.readline())
    return pids


async def started(directory: Path) -> None:
    """Wait until a render announces that it has begun."""
    announced = directory / "started"
    await until(lambda: announced.read_bytes() == marked_render.STARTED, within_s=20, what="a render")


@pytest.mark.parametrize("mark", ["hold", "spin", "stop"])
async def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, mark: str) -> None:
    with program(tmp_path, "announce " + mark) as (tree, process):
        renderers = processes(process)
        await started(tmp_path)
        family = tree.children()
        assert set(renderers) < set(family)
        if mark == "stop":
            for pid in renderers:
                os.kill(pid, signal.SIGSTOP)
        tree.signal(signal.SIGKILL)
        await until(lambda: not any(alive(pid) for pid in family), within_s=2, what=f"the end of {family}")


@pytest.mark.parametrize("marks", [[], ["restart"]])
async def test_processes_and_fork_server_know_nothing_of_the_parents_environment(
    tmp_path: Path, marks: list[str]
) -> None:
    with program(tmp_path, *marks, "announce hold") as (tree, process):
        renderers = processes(process)
        await started(tmp_path)
        for pid in tree.children():
            if pid not in renderers and not is_fork_server(pid) and marks:
                continue
            names = environment(pid)
            assert {"LC_ALL", "PATH", "MALLOC_TRIM_THRESHOLD_"} <= names
            assert not names & {"AWS_SECRET_ACCESS_KEY", "THUMBQ_BUCKET", "DATABASE_PASSWORD", "HOME", "USER"}


def environment(pid: int) -> set[str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {entry.partition(b"=")[0].decode() for entry in entries if entry}


def is_fork_server(pid: int) -> bool:
    return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_program_with_a_pool_ends_silently_and_its_main_module_runs_once(tmp_path: Path) -> None:
    with program(tmp_path, "ok", "ok", "ok") as (_tree, process):
        processes(process)
        rest, errors = process.communicate(timeout=patience(10))
        assert (process.returncode, rest, errors) == (0, b"", b"")


def test_a_pool_that_cannot_start_its_processes_says_so(tmp_path: Path) -> None:
    with program(tmp_path, "no-python") as (_, process):
        printed, _ = process.communicate(timeout=patience(10))
        assert process.returncode == 2
        assert b"a render process cannot be started: FileNotFoundError" in printed


async def test_ctrl_c_ends_the_program_and_its_processes_silently(tmp_path: Path) -> None:
    with program(tmp_path, "announce hold") as (tree, process):
        processes(process)
        await started(tmp_path)
        family = tree.children()
        for pid in [*family, process.pid]:
            os.kill(pid, signal.SIGINT)
        _, errors = process.communicate(timeout=patience(10))
        assert not errors, errors.decode()
        assert process.returncode == 130
        await until(lambda: not any(alive(pid) for pid in family), within_s=2, what=f"the end of {family}")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "TMPDIR"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "limits on processes and memory"),
    ],
)
async def test_a_process_that_cannot_be_started_is_told_with_what_helps(
    error: OSError, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(ProcessHandle, "_spawn", fails)
    if isinstance(error, FileNotFoundError):
        monkeypatch.setattr("tempfile.gettempdir", fails)
    with pytest.raises(SetupError) as refused:
        async with RenderPool(PoolConfig(processes=1, memory_limit_bytes=512 << 20, timeout_s=30)):
            pass
    [problem] = refused.value.problems
    assert str(error) in problem.what
    assert fix in problem.fix

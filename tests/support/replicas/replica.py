"""Real replicas: `thumbq serve` as processes of their own, with their logs and their process trees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.patience import until
from support.servers.emulators import without_aws

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.replicas.forker import ForkedProcess, Forker

THUMBQ = str(Path(sys.executable).with_name("thumbq"))


class Replica:
    """One `thumbq serve` and all that it started."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess, directory: Path) -> None:
        self.process = process
        self._directory = directory
        self.url = ""

    async def ready(self, line: str) -> None:
        """Wait until it has printed a line that starts like this."""
        await until(lambda: self._printed(line), within_s=30, what=lambda: f"a listening replica\n{self.stderr()}")
        self.url = self.stdout().splitlines()[0].removeprefix("listening on ")

    def _printed(self, start: str) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the replica ended with {self.process.returncode}:\n{self.stderr()}")
        return any(line.startswith(start) and line.endswith("\n") for line in self.stdout().splitlines(keepends=True))

    def stdout(self) -> str:
        return (self._directory / "stdout").read_text()

    def stderr(self) -> str:
        return (self._directory / "stderr").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return all log lines."""
        return [json.loads(line) for line in self.stderr().splitlines(keepends=True) if line.endswith("}\n")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines() if line["event"] == name]

    def children(self) -> list[int]:
        """Return the pids of everything below this process, wherever it hangs in the tree."""
        return _descendants(self.process.pid)

    def render_children(self) -> list[int]:
        """Return the pids of the processes that render: the forkserver's children."""
        return [pid for direct in _children(self.process.pid) for pid in _children(direct)]

    def helpers(self) -> list[int]:
        """Return the pids of the fork server and of the resource tracker."""
        return _children(self.process.pid)

    def freeze_renders(self) -> list[int]:
        """Stop every render process where it is, so that jobs hang in their renders; return their pids."""
        children = self.render_children()
        assert children
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        return children

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, *, within_s: float) -> int:
        """Wait for the end of the main process and return its exit code."""
        await until(
            lambda: self.process.poll() is not None, within_s=within_s, what=lambda: f"the end\n{self.stderr()}"
        )
        assert self.process.returncode is not None
        return self.process.returncode


@contextmanager
def running(
    directory: Path,
    environment: Mapping[str, str],
    *,
    port: int = 0,
    open_files: int | None = None,
    program: Sequence[str] = (THUMBQ,),
    forker: Forker | None = None,
) -> Iterator[Replica]:
    """Start a replica whose output goes to ``directory``; leaving kills what is left of it.

    It may open so many files; None: as many as this process. ``program`` takes the place of ``thumbq``. A ``forker``
    starts it; None: a start as a shell's.
    """
    directory.mkdir(parents=True)
    env = {**without_aws(os.environ), **environment, "THUMBQ_PORT": str(port)}
    with ExitStack() as files:
        stdin = files.enter_context(Path(os.devnull).open("rb"))
        stdout = files.enter_context((directory / "stdout").open("wb"))
        stderr = files.enter_context((directory / "stderr").open("wb"))
        process: subprocess.Popen[bytes] | ForkedProcess
        if forker is not None:
            streams = (stdin.fileno(), stdout.fileno(), stderr.fileno())
            process = forker.start([*program, "serve"], env=env, cwd=directory, streams=streams, open_files=open_files)
        else:
            limit = [] if open_files is None else ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh"]
            command = [*limit, *program, "serve"]
            process = subprocess.Popen(command, cwd=directory, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
    replica = Replica(process, directory)
    try:
        yield replica
    finally:
        left = [pid for pid in replica.children() if not _tidies_up(pid)]
        process.kill()
        process.wait()
        for pid in left:
            kill(pid)


def _tidies_up(pid: int) -> bool:
    """Whether this is the process that removes the semaphores of the others from /dev/shm; it ends after them."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int) -> None:
    """Kill a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def resident_bytes(pid: int) -> int:
    """Return how much memory of a process is in RAM, shared pages included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def alive(pid: int) -> bool:
    """Whether a process runs (one that is only waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]

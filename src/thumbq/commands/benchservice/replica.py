"""The replica that is measured: a process of its own, whose CPU time and memory the kernel tells."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.bench.requestcounts import RequestCounts
from thumbq.bench.servicefigures import Usage
from thumbq.errors import Problem, SetupError, ThumbqError
from thumbq.pool.procfs import cpu_s, descendants, ended_children_cpu_s, proportional_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from anyio.abc import Process

    Serve = Callable[[int | None], Sequence[str]]

_LOOK_S: Final = 0.05
_KILL_S: Final = 5
"""How long after the deadline of its stop it is killed."""
_TAIL: Final = 3
_READY: Final = b"listening on "


class ReplicaEnded(ThumbqError):
    """The service that is measured has ended by itself; the text has the end of its log."""


def check_system() -> None:
    """Raise SetupError where the kernel does not tell what the figures are made of."""
    needed = (f"/proc/self/task/{os.getpid()}/children", "/proc/self/smaps_rollup", "/proc/self/stat")
    missing = [path for path in needed if not Path(path).exists()]
    if missing or not hasattr(os, "memfd_create"):
        what = f"this system does not tell what processes use ({', '.join(missing) or 'memfd_create'} is missing)"
        raise SetupError([Problem(what, "measure on Linux, with /proc")])


@dataclass(frozen=True, slots=True)
class Replica:
    """A running `thumbq serve`, ready; ``start`` is what it had used by then."""

    process: Process
    log: Path
    counts: RequestCounts | None
    start: Usage

    def usage(self) -> Usage:
        """Return what it has used since its launch. Raises ReplicaEnded."""
        self.check()
        return _usage(self.process.pid, self.counts)

    def pss_bytes(self) -> int | None:
        """Return the memory of all its processes; None when that of one is not told, as to another user."""
        found = [proportional_bytes(pid) for pid in (self.process.pid, *descendants(self.process.pid))]
        return sum(size for size in found if size) if found[0] is not None else None

    def check(self) -> None:
        """Raise ReplicaEnded when it has."""
        _check(self.process, self.log)


@asynccontextmanager
async def running(serve: Serve, *, counted: bool, within_s: float) -> AsyncIterator[Replica]:
    """Start a replica by the command that ``serve`` gives, and stop it at the end, in order, within so many seconds.

    ``serve`` gets the descriptor of the memory in which requests are ``counted``, or None. Signals of the terminal do
    not reach the replica. Raises ReplicaEnded when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="thumbq-bench-") as directory:
        output, log = Path(directory, "output"), Path(directory, "log")
        descriptor = os.memfd_create("thumbq-bench") if counted else None
        try:
            counts = None if descriptor is None else _counts(descriptor)
            process = await _launched(serve(descriptor), output, log, () if descriptor is None else (descriptor,))
        finally:
            if descriptor is not None:
                os.close(descriptor)
        try:
            while _READY not in await anyio.Path(output).read_bytes():
                _check(process, log)
                await anyio.sleep(_LOOK_S)
            yield Replica(process, log, counts, _usage(process.pid, counts))
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process, within_s + _KILL_S)


def _counts(descriptor: int) -> RequestCounts:
    os.ftruncate(descriptor, RequestCounts.size())
    return RequestCounts(descriptor)


async def _launched(command: Sequence[str], output: Path, log: Path, descriptors: Sequence[int]) -> Process:
    with output.open("wb") as stdout, log.open("wb") as stderr:
        return await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=descriptors,
        )


async def _stop(process: Process, within_s: float) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(within_s):
            await process.wait()
    if process.returncode is None:
        process.kill()
    await process.wait()


def _usage(pid: int, counts: RequestCounts | None) -> Usage:
    below_s = ended_children_cpu_s(pid) or 0.0
    for child in descendants(pid):
        below_s += (cpu_s(child) or 0.0) + (ended_children_cpu_s(child) or 0.0)
    return Usage(cpu_s(pid) or 0.0, below_s, None if counts is None else counts.read())


def _check(process: Process, log: Path) -> None:
    if process.returncode is not None:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
        text = f"the service has ended with {process.returncode}; its log ends with"
        raise ReplicaEnded("\n".join([text, *lines]))

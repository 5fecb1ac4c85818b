"""A program that has imported thumbq and forks itself for each program that it is asked to run.

Requests come over the socket on standard input: JSON, and with it the program's standard streams and a pipe on which
its pid is said, and its return code (as subprocess has it) when it has ended. All of them are killed when the socket is
closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

STREAMS: Final = 3
IMPORTED: Final = ("thumbq.cli", "thumbq.service", "thumbq.local", "thumbq.aws")


def import_all() -> None:
    """Import most of what a service and the commands import, and let it stay where it is in memory."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def next_program() -> tuple[dict[str, Any], list[int]]:
    """Return in each fork what it is to run, and its standard streams."""
    requests = socket.socket(fileno=os.dup(0))
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([requests.fileno(), *running], [], [])[0]:
            if ready in running:
                pid, pipe = running.pop(ready)
                os.close(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, b"%d\n" % code)
                os.close(pipe)
                continue
            request, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, STREAMS + 1)
            if not request:
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGKILL)
                raise SystemExit(0)
            pid = os.fork()
            if pid == 0:
                return json.loads(request), descriptors[:STREAMS]
            *streams, pipe = descriptors
            for stream in streams:
                os.close(stream)
            os.write(pipe, b"%d\n" % pid)
            running[os.pidfd_open(pid)] = (pid, pipe)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Make of this fork what a process is that starts with these streams, arguments, folder and variables."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    sys.stdin = sys.__stdin__ = open(0)  # type: ignore[misc]  # noqa: SIM115 - it stays open
    sys.stdout = sys.__stdout__ = open(1, "w")  # type: ignore[misc]  # noqa: SIM115 - the same
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace")  # type: ignore[misc]  # noqa: SIM115 - the same
    if request["open_files"] is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (request["open_files"],) * 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[0] = str(Path(sys.argv[0]).parent)


if __name__ == "__main__":
    import_all()
    become(*next_program())
    runpy.run_path(sys.argv[0], run_name="__main__")

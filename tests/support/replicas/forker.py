"""Programs that are forked from one that has imported thumbq: a tenth of what a start takes.

Where the start itself is no part of a claim. Else they are what `thumbq` is: processes of their own, that run the same
script from its first line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.processes import forking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class ForkedProcess:
    """A process that has another parent, with what tests use of a `subprocess.Popen`."""

    def __init__(self, told: int) -> None:
        """``told``: where its pid is said, and its return code once it has ended."""
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its code. Raises subprocess.TimeoutExpired."""
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def _read(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout_s)[0]:
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        # As Popen does: the pid may be another's when its end is known.
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Forker:
    """The program that forks. It is started with the first process that is asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._requests: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        self._stack.close()

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        streams: tuple[int, int, int],
        open_files: int | None = None,
    ) -> ForkedProcess:
        """Start a program: a Python script with its arguments, with or without its interpreter before it.

        ``streams`` are its standard input, output and error. It may open so many files; None: as many as this process.
        """
        if self._requests is None:
            self._requests = self._stack.enter_context(_forking())
        argv = argv[1:] if argv[0] == sys.executable else argv
        request = {"argv": list(argv), "env": dict(env), "cwd": str(cwd or Path.cwd()), "open_files": open_files}
        reader, writer = os.pipe()
        socket.send_fds(self._requests, [json.dumps(request).encode()], [*streams, writer])
        os.close(writer)
        return ForkedProcess(reader)


@contextmanager
def _forking() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, subprocess.Popen([sys.executable, forking.__file__], stdin=theirs.fileno()):
        theirs.close()
        yield ours
        ours.close()

"""What the fork server and the resource tracker print: log lines of this process, and nothing once it is gone.

After a kill -9 the tracker warns of semaphores that "leaked". On the service's own standard error that would be lines
that are no JSON and of no use to anybody.
"""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import wait
from typing import Final

_PIECE_BYTES: Final = 1 << 16
_MOST_CHARACTERS: Final = 4_000


class _HelperOutput:
    """A pipe that the helpers write to, and a thread that logs what comes out of it.

    Neither end blocks: a helper that says more than the pipe holds loses the rest, and does not wait for our log.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self.writer, False)
        self._lock = threading.Lock()
        self._rest = b""
        threading.Thread(target=self._serve, name="thumbq-helper-output", daemon=True).start()

    def log_all(self) -> None:
        """Log the whole lines that are in the pipe; those of one piece are one line of the log."""
        import structlog  # noqa: PLC0415 - render processes load this module, and log nothing

        log = structlog.get_logger(__name__)
        with self._lock:
            while piece := self._read():
                lines, end, self._rest = (self._rest + piece).rpartition(b"\n")
                self._rest = self._rest[:_PIECE_BYTES]
                if text := (lines + end).strip().decode(errors="replace"):
                    log.warning("pool.helper_said", text=text[:_MOST_CHARACTERS])

    def _serve(self) -> None:
        while True:
            wait([self._reader])
            self.log_all()

    def _read(self) -> bytes:
        try:
            return os.read(self._reader, _PIECE_BYTES)
        except BlockingIOError:
            return b""


_made: list[_HelperOutput] = []


def writer() -> int:
    """Return the descriptor that helpers write to, which is made when it is first asked for; one thread at a time."""
    if not _made:
        _made.append(_HelperOutput())
    return _made[0].writer


def log_all() -> None:
    """Log what the helpers have said so far, before this process may end; nobody is waited for."""
    for output in _made:
        output.log_all()

"""Ends the process when its stop does not: a thread may hang for ever, and an orderly stop waits for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from types import FrameType

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

GRACE_S: Final = 1.0
"""How long after the stop's deadline what still hangs is ended. A process that was paused has this time in any case."""

_REPORT_S: Final = 1.0
_NAME: Final = "thumbq-watchdog"
_WAITING: Final = {
    "selectors",
    "threading",
    ("concurrent.futures.thread", "_worker"),
    ("thumbq.local.database", "_next_group"),
}
"""Where threads wait for work, or for other threads: modules, and functions of modules."""


class Watchdog:
    """Ends the process with code 1 when a stop has not ended it in time.

    A system call may never return, as about a network share that is gone, or a write to a log that nobody reads. The
    watchdog's own thread is there from the beginning, since near the end there may be none to be had.
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._begun: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._watch, name=_NAME, daemon=True).start()

    def begin(self) -> None:
        """Count from now on; only the first call counts. Handlers of signals may call it, at any moment."""
        self._begun.put(None)

    def _watch(self) -> None:
        self._begun.get()
        time.sleep(self._deadline_s)
        time.sleep(GRACE_S)
        # What hangs may be the log. SIGALRM then ends the process without another thread.
        signal.setitimer(signal.ITIMER_REAL, _REPORT_S)
        log.error("service.stop_hung", threads=_hung_threads(), fix="see what hangs: a file system, a server, the log")
        os._exit(1)


def _hung_threads() -> list[str]:
    """Return where each thread is, and from where in thumbq; but for those that wait for work or for other threads."""
    names = {thread.ident: thread.name for thread in threading.enumerate() if thread.name != _NAME}
    frames = sys._current_frames()  # noqa: SLF001 - documented in `sys`, under this name
    return [
        f"{names[ident]}: {_path(frame)}" for ident, frame in frames.items() if ident in names and not _waits(frame)
    ]


def _waits(frame: FrameType) -> bool:
    module = _module(frame)
    return module in _WAITING or (module, frame.f_code.co_name) in _WAITING


def _path(innermost: FrameType) -> str:
    frame: FrameType | None = innermost
    while frame is not None and not _module(frame).startswith("thumbq."):
        frame = frame.f_back
    return " from ".join(_place(each) for each in dict.fromkeys((innermost, frame)) if each is not None)


def _place(frame: FrameType) -> str:
    return f"{_module(frame)}:{frame.f_lineno} {frame.f_code.co_name}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))

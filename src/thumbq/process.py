"""What the process gets from the system: its name, its clocks, and the signals to stop."""

from __future__ import annotations

import math
import os
import secrets
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

import anyio
import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskStatus

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SAME_REQUEST_S: Final = 1.0
"""Signals that come so close together are one request: `uv run` and others pass on what the whole group gets anyway."""


def replica_name() -> str:
    """Return a name for this process that no other one has had: hosts and process ids come again in containers."""
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


class SystemClock:
    """The machine's clocks; the monotonic one also counts while the machine sleeps, where the system can."""

    _id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def monotonic(self) -> float:
        """Return seconds since some moment in the past."""
        return time.clock_gettime(self._id)

    def wall(self) -> float:
        """Return POSIX seconds."""
        return time.time()


def stop_signals(*, hangups: bool) -> tuple[signal.Signals, ...]:
    """Return the signals that ask for a stop.

    Of ``hangups`` SIGHUP is one too, unless the process was started to ignore it, as by nohup.
    """
    asks = hangups and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if asks else ()))


class Stop:
    """The request to stop, which SIGTERM, SIGINT and SIGHUP bring; the last not without ``hangups``.

    ``asked`` is set by the first of them. ``start`` is the scope of the start, which it cancels until ``started``.
    ``begins`` is called at each, also while the event loop hangs.
    """

    def __init__(self, begins: Callable[[], None] = lambda: None, *, hangups: bool = True) -> None:
        self.begins = begins
        self._hangups = hangups
        self.asked = anyio.Event()
        self.start = anyio.CancelScope()
        self.started = False

    async def watch(self, *, task_status: TaskStatus[None]) -> None:
        """Wait for signals: the first asks for the stop (and cuts a start off), a later one ends the process."""
        numbers = stop_signals(hangups=self._hangups)
        with anyio.open_signal_receiver(*numbers) as signals:
            # The event loop hears of signals by its wake-up descriptor, and leaves this place free. Unlike its own
            # function there, this one interrupts a system call, and so runs while the loop hangs in one.
            for number in numbers:
                signal.signal(number, lambda *_: self.begins())
            task_status.started()
            asked_at = math.inf
            async for number in signals:
                if anyio.current_time() - asked_at > SAME_REQUEST_S:
                    log.warning("service.killed", signal=number.name)
                    os._exit(128 + number)
                if self.asked.is_set():
                    continue
                log.info("service.stopping", signal=number.name)
                asked_at = anyio.current_time()
                self.asked.set()
                if not self.started:
                    self.start.cancel()


async def at_hangups(reload: Callable[[], Awaitable[None]] | None, *, task_status: TaskStatus[None]) -> None:
    """Await this at each SIGHUP, until cancelled; without it, leave SIGHUP alone."""
    if reload is None:
        task_status.started()
        return
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            await reload()

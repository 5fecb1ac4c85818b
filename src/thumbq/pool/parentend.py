"""The parent's end of a render process's channel, which knows the event loop; render processes do not load it.

A process that says too much, or says anything without a job, is broken.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from array import array
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from thumbq.pool.channel import JOB, READ_BYTES, REPLY, Answer
from thumbq.pool.replies import MAX_BYTES

if TYPE_CHECKING:
    from thumbq.pool.channel import Job


class ParentEnd:
    """The parent's end, used in one event loop: ``send`` a job, and await its answer; then the next."""

    def __init__(self, end: socket.socket, *, max_body_bytes: int) -> None:
        end.settimeout(0)
        self._end = end
        self._max_body_bytes = max_body_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._got = bytearray()
        self._unsent = memoryview(b"")
        self._broken = False
        _open_ends.add(self)

    def send(self, job: Job) -> asyncio.Future[Answer]:
        """Send a job without waiting. The future raises BrokenProcessPool when the process ends or talks nonsense.

        Raises OSError when the process is gone.
        """
        if self._broken:
            raise BrokenPipeError("the process has hung up")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._end, self._read)
        head = JOB.pack(job.give_back, job.cpu_s, len(job.presets), len(job.small))
        rights = [] if job.source is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [job.source]))]
        parts = [head, job.presets, job.small]
        sent = self._end.sendmsg(parts, rights)
        if sent < sum(map(len, parts)):
            self._unsent = memoryview(b"".join(parts))[sent:]
            self._loop.add_writer(self._end, self._send_more)
        self._answer = self._loop.create_future()
        return self._answer

    def leave_loop(self) -> None:
        """Read and write no more; who still waits for an answer gets BrokenProcessPool."""
        self._broken = True
        if self._loop is not None:
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BrokenProcessPool("the process is gone"))
        self._answer = None

    def hang_up(self) -> None:
        """Let both ends see the end; any thread may call it."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, after ``leave_loop``."""
        self._end.close()

    def _send_more(self) -> None:
        try:
            self._unsent = self._unsent[self._end.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.leave_loop()
            return
        if not self._unsent and self._loop is not None:
            self._loop.remove_writer(self._end)

    def _read(self) -> None:
        try:
            new = self._end.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            new = b""
        if not new or self._answer is None:
            self.leave_loop()
            return
        self._got += new
        if len(self._got) >= REPLY.size:
            self._take()

    def _take(self) -> None:
        """Take the answer, if it is whole."""
        reply_bytes, body_bytes = REPLY.unpack_from(self._got)
        end = REPLY.size + reply_bytes + body_bytes
        if reply_bytes > MAX_BYTES or body_bytes > self._max_body_bytes or len(self._got) > end:
            self.leave_loop()
        elif len(self._got) == end:
            got, self._got = bytes(self._got), bytearray()
            answer, self._answer = self._answer, None
            if answer is not None and not answer.done():
                start = REPLY.size + reply_bytes
                answer.set_result(Answer(got[REPLY.size : start], got[start:]))


_open_ends: Final = WeakSet[ParentEnd]()


def _hang_up_all() -> None:
    for end in list(_open_ends):
        end.hang_up()


# At a program's end concurrent.futures waits for all calls, and a process that was left open is in one until then.
threading._register_atexit(_hang_up_all)  # type: ignore[attr-defined]  # noqa: SLF001 -- atexit itself comes too late

"""The channel of a render process: jobs go there and replies come back over one pair of sockets, without a thread.

A job is a head, its presets as a pickle, and the original's bytes if they are few; else the original's memory file goes
along. A reply is a head, JSON (see replies.py), and the bodies of the renditions. The parent unpickles nothing, and
takes no more than an honest process sends: a process that says too much, or says anything without a job, is broken.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import struct
import threading
from array import array
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from thumbq.pool.memoryfile import write_all
from thumbq.pool.replies import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset

SMALL_BYTES: Final = 64 << 10
"""An original of so many bytes at most goes with its job: less than a socket takes at once (unix(7))."""

_JOB: Final = struct.Struct("!?dII")
_REPLY: Final = struct.Struct("!IQ")
_READ_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Job:
    """A job on its way; ``source`` is the descriptor of an original that is not ``small``.

    ``cpu_s`` is the CPU time that it may take, 0 where the parent has set that limit; after it, ``give_back`` says,
    the free memory is given back at once.
    """

    presets: bytes
    small: bytes = b""
    source: int | None = None
    cpu_s: float = 0
    give_back: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process has sent for a job: a reply, still JSON, and the bodies one after the other."""

    reply: bytes
    bodies: bytes


def pickled(presets: Sequence[Preset]) -> bytes:
    """Return presets as a job has them."""
    return pickle.dumps(tuple(presets), pickle.HIGHEST_PROTOCOL)


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
        head = _JOB.pack(job.give_back, job.cpu_s, len(job.presets), len(job.small))
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
            new = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            new = b""
        if not new or self._answer is None:
            self.leave_loop()
            return
        self._got += new
        if len(self._got) >= _REPLY.size:
            self._take()

    def _take(self) -> None:
        """Take the answer, if it is whole."""
        reply_bytes, body_bytes = _REPLY.unpack_from(self._got)
        end = _REPLY.size + reply_bytes + body_bytes
        if reply_bytes > MAX_BYTES or body_bytes > self._max_body_bytes or len(self._got) > end:
            self.leave_loop()
        elif len(self._got) == end:
            got, self._got = bytes(self._got), bytearray()
            answer, self._answer = self._answer, None
            if answer is not None and not answer.done():
                start = _REPLY.size + reply_bytes
                answer.set_result(Answer(got[_REPLY.size : start], got[start:]))


class ProcessEnd:
    """A render process's end. It blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def receive(self) -> Job | None:
        """Return the next job, whose ``source`` is now this process's own; None when the parent has hung up."""
        got, [*descriptors], _, _ = socket.recv_fds(self._end, _READ_BYTES + SMALL_BYTES, 1)
        source = descriptors[0] if descriptors else None
        if len(got) < _JOB.size:
            return None  # a head is never in pieces
        give_back, cpu_s, preset_bytes, small_bytes = _JOB.unpack_from(got)
        start = _JOB.size + preset_bytes
        pieces = [got]
        missing = start + small_bytes - len(got)
        while missing > 0:
            if not (more := os.read(self._end.fileno(), missing)):
                return None
            pieces.append(more)
            missing -= len(more)
        whole = got if len(pieces) == 1 else b"".join(pieces)
        return Job(whole[_JOB.size : start], whole[start:], source, cpu_s, give_back)

    def answer(self, reply: bytes, bodies: Sequence[bytes]) -> None:
        """Send a reply and the bodies of its renditions."""
        body_bytes = sum(map(len, bodies))
        head = _REPLY.pack(len(reply), body_bytes) + reply
        for part in [head + b"".join(bodies)] if body_bytes <= SMALL_BYTES else [head, *bodies]:
            write_all(self._end.fileno(), part)

    def close(self) -> None:
        """Hang up."""
        self._end.close()


_open_ends: Final = WeakSet[ParentEnd]()


def _hang_up_all() -> None:
    for end in list(_open_ends):
        end.hang_up()


# At a program's end concurrent.futures waits for all calls, and a process that was left open is in one until then.
threading._register_atexit(_hang_up_all)  # type: ignore[attr-defined]  # noqa: SLF001 -- atexit itself comes too late

"""The channel of a render process: jobs go there and replies come back over one pair of sockets, without a thread.

A job is a head, its presets as a pickle, and the original's bytes if they are few; else the original's memory file goes
along. A reply is a head, JSON (see replies.py), and the bodies of the renditions. The parent unpickles nothing, and
takes no more than an honest process sends (see parentend.py).
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thumbq.pool.memoryfile import write_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset

SMALL_BYTES: Final = 64 << 10
"""An original of so many bytes at most goes with its job: less than a socket takes at once (unix(7))."""

JOB: Final = struct.Struct("!?dII")
"""The head of a job: ``give_back``, ``cpu_s``, and the sizes of presets and small original."""
REPLY: Final = struct.Struct("!IQ")
"""The head of a reply: the sizes of JSON and bodies."""
READ_BYTES: Final = 64 << 10


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


class ProcessEnd:
    """A render process's end. It blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def receive(self) -> Job | None:
        """Return the next job, whose ``source`` is now this process's own; None when the parent has hung up."""
        got, [*descriptors], _, _ = socket.recv_fds(self._end, READ_BYTES + SMALL_BYTES, 1)
        source = descriptors[0] if descriptors else None
        if len(got) < JOB.size:
            return None  # a head is never in pieces
        give_back, cpu_s, preset_bytes, small_bytes = JOB.unpack_from(got)
        start = JOB.size + preset_bytes
        pieces = [got]
        missing = start + small_bytes - len(got)
        while missing > 0:
            if not (more := os.read(self._end.fileno(), missing)):
                return None
            pieces.append(more)
            missing -= len(more)
        whole = got if len(pieces) == 1 else b"".join(pieces)
        return Job(whole[JOB.size : start], whole[start:], source, cpu_s, give_back)

    def answer(self, reply: bytes, bodies: Sequence[bytes]) -> None:
        """Send a reply and the bodies of its renditions."""
        body_bytes = sum(map(len, bodies))
        head = REPLY.pack(len(reply), body_bytes) + reply
        for part in [head + b"".join(bodies)] if body_bytes <= SMALL_BYTES else [head, *bodies]:
            write_all(self._end.fileno(), part)

    def close(self) -> None:
        """Hang up."""
        self._end.close()

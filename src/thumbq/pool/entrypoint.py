"""What runs in a render process: its first steps, and one job after the other. Failures come back as values."""

from __future__ import annotations

import fcntl
import mmap
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from math import ceil
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from thumbq.imaging import READ_WHOLE_BYTES, Limits, Refusal, heap
from thumbq.pool import sandbox
from thumbq.pool.channel import Job, ProcessEnd
from thumbq.pool.cpulimit import within
from thumbq.pool.executor import STOP_SIGNALS, leave_resource_tracker
from thumbq.pool.replies import Done, Failed, Reply, encode
from thumbq.ports import Rendered

if TYPE_CHECKING:
    import socket

    from thumbq.core.preset import Preset
    from thumbq.errors import Problem
    from thumbq.pool.config import SandboxMode

RenderFunction = Callable[[bytes | mmap.mmap, "Sequence[Preset]"], Rendered | Refusal]
"""A function that makes renditions, and that a render process can import."""

_MAX_TEXT = 1_000
_STDOUT, _STDERR = 1, 2
_ADDRESSES_BYTES = 16 << 30
_STACK_BYTES = 16 << 20
_IDLE_S = 1.0
"""A process that has been without a job for so long gives its free memory back."""

_channel: ProcessEnd | None = None


def render_image(original: bytes | mmap.mmap, presets: Sequence[Preset], *, limits: Limits) -> Rendered | Refusal:
    """Render with the real decoders, which are loaded here and never in the parent."""
    from thumbq.imaging.render import render  # noqa: PLC0415 -- the parent imports this module, but not Pillow

    return render(original, presets, limits)


def prepare(channel: socket.socket, memory_limit_bytes: int) -> None:
    """Set up a render process: ignore the signals meant for the parent, end with the parent, and accept limits."""
    global _channel  # noqa: PLW0603 -- an initializer has no other way to hand something to later jobs
    _channel = ProcessEnd(channel)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: heap.give_back())
    _end_with_parent()
    _discard_output()
    _limit(resource.RLIMIT_CORE, 0)
    # RLIMIT_AS would count the arenas of threads too. This one gives a MemoryError, and the process stays usable.
    _limit(resource.RLIMIT_DATA, memory_limit_bytes)
    if sys.platform == "linux":
        # What RLIMIT_DATA leaves out: page tables, of which 1 TiB of addresses can have 2 GiB, and the first stack.
        _limit(resource.RLIMIT_AS, memory_limit_bytes + _ADDRESSES_BYTES)
        _limit(resource.RLIMIT_STACK, _STACK_BYTES)
    # Files in memory count for nobody's RLIMIT_DATA.
    _limit(resource.RLIMIT_FSIZE, memory_limit_bytes)


def check(_: RenderFunction, mode: SandboxMode) -> Problem | None:
    """Enter the sandbox for good, and render a first image. Return why there is no sandbox, if there is none.

    It takes the render function so that its module is loaded before. Raises RuntimeError when images do not render.
    """
    # Loaded here if not in the fork server, which before Python 3.13 does not know where this program's modules lie.
    from thumbq.pool.preload import standarderror, warmup  # noqa: PLC0415 -- as in render_image

    leave_resource_tracker()
    standarderror.prepare()
    missing = None if mode == "off" else sandbox.confine()
    warmup.warm_up_one()
    return missing


def _discard_output() -> None:
    """Discard what decoders print: a hostile TIFF makes hundreds of lines, which would stand between our logs.

    Our logs are on standard output, where hostile code must not write any of its own.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)


def serve(render: RenderFunction) -> None:
    """Do one job after the other, until the parent hangs up."""
    assert _channel is not None
    presets = _Presets()
    try:
        while (job := _channel.receive()) is not None:
            reply, bodies = _done(render, job, presets.of(job))
            del job  # and with it the original
            _channel.answer(encode(reply), bodies)
            del reply, bodies
    finally:
        _channel.close()


class _Presets:
    """The presets of a job; nearly always they are those of the job before."""

    def __init__(self) -> None:
        self._pickled = b""
        self._presets: Sequence[Preset] = ()

    def of(self, job: Job) -> Sequence[Preset]:
        if job.presets != self._pickled:
            self._presets = pickle.loads(job.presets)  # noqa: S301 -- the parent has made it
            self._pickled = job.presets
        return self._presets


def _done(render: RenderFunction, job: Job, presets: Sequence[Preset]) -> tuple[Reply, Sequence[bytes]]:
    """Do one job, and return the reply with its bodies.

    The kernel ends the process when the job takes more than about its ``cpu_s`` of CPU time.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    if job.cpu_s:
        with suppress(ValueError):  # in the sandbox
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            resource.setrlimit(resource.RLIMIT_CPU, (within(hard, ceil(time.process_time() + job.cpu_s)), hard))
    try:
        return _reply(render, job, presets)
    finally:
        if job.give_back:
            heap.give_back()
        elif heap.has_much():
            signal.setitimer(signal.ITIMER_REAL, _IDLE_S)


def _reply(render: RenderFunction, job: Job, presets: Sequence[Preset]) -> tuple[Reply, Sequence[bytes]]:
    try:
        rendered = _render(render, job, presets)
        if isinstance(rendered, Refusal):
            return rendered, ()
        bodies = [image.body for image in rendered.images]
        bare = tuple(replace(image, body=b"") for image in rendered.images)
        return Done(replace(rendered, images=bare), tuple(map(len, bodies))), bodies
    except MemoryError:
        return Refusal("out-of-memory", "rendering the image takes more memory than a render may have"), ()
    except Exception as error:  # noqa: BLE001 -- its text says more than a broken channel would
        return Failed(f"{type(error).__name__}: {error}"[:_MAX_TEXT]), ()


def _render(render: RenderFunction, job: Job, presets: Sequence[Preset]) -> Rendered | Refusal:
    if job.source is None:
        return render(job.small, presets)
    with ExitStack() as stack:
        stack.callback(os.close, job.source)
        size = os.fstat(job.source).st_size
        if size <= READ_WHOLE_BYTES:  # mapping that much, page by page, costs more
            return render(os.pread(job.source, size, 0), presets)
        return render(stack.enter_context(mmap.mmap(job.source, 0, access=mmap.ACCESS_READ)), presets)


def _limit(kind: int, value: int) -> None:
    value = within(resource.getrlimit(kind)[1], value)
    resource.setrlimit(kind, (value, value))


def _end_with_parent() -> None:
    """Be killed as soon as the parent has ended, however it ended and whatever this process is doing.

    The parent holds the other end of a pipe. On Linux the kernel itself sends SIGKILL when that end closes: also
    to a process that is stopped, or deep in a decoder that lets no other Python thread run.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
        if wait([parent.sentinel], 0):
            os._exit(1)
    else:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

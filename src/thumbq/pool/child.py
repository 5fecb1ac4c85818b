"""What runs in a child: its first steps, and one job after the other. What goes wrong comes back as a value."""

from __future__ import annotations

import fcntl
import mmap
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from thumbq.imaging import Limits, Refusal
from thumbq.pool.spool import write_all
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from thumbq.core.preset import Preset

Render = Callable[[bytes | mmap.mmap, "Sequence[Preset]"], Rendered | Refusal]
"""A function that a child can import and that makes renditions."""

_CPU_MARGIN_S = 2
_MAX_TEXT = 1_000
_channel: socket.socket | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job. The bodies are not in ``rendered`` but one after the other in the output file."""

    rendered: Rendered
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The render function raised, which it never should; says nothing about the image."""

    text: str


Reply = Done | Refusal | Failed


def render_image(original: bytes | mmap.mmap, presets: Sequence[Preset], *, limits: Limits) -> Rendered | Refusal:
    """Render with the real decoders, which are loaded here in the child and never in the parent."""
    from thumbq.imaging.render import render  # noqa: PLC0415 -- the parent imports this module, but not Pillow

    return render(original, presets, limits)


def prepare(channel: socket.socket, memory_limit_bytes: int) -> None:
    """Take a child's first steps: outlive the signals meant for the parent, but not the parent; accept limits."""
    global _channel  # noqa: PLW0603 -- an initializer has no other way to hand something to later jobs
    _channel = channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_with_parent()
    _lower_limit(resource.RLIMIT_CORE, 0)
    # RLIMIT_AS would count the arenas of threads too. This one gives a MemoryError, and the child stays usable.
    _lower_limit(resource.RLIMIT_DATA, memory_limit_bytes)


def check() -> None:
    """Show that a child can work: its decoders load within its memory limit."""
    from thumbq.imaging import render  # noqa: F401, PLC0415 -- as in render_image


def run(render: Render, presets: Sequence[Preset], cpu_s: float) -> Reply:
    """Do one job: the source and the output file come over the channel, in this order.

    The kernel ends the child when the job takes more than about ``cpu_s`` seconds of CPU time.
    """
    assert _channel is not None
    _lower_limit(resource.RLIMIT_CPU, ceil(time.process_time() + cpu_s) + _CPU_MARGIN_S)
    _, (source, output), _, _ = socket.recv_fds(_channel, 1, 2)
    try:
        rendered = _render(render, source, presets)
        if isinstance(rendered, Refusal):
            return rendered
        for image in rendered.images:
            write_all(output, image.body)
        bare = tuple(replace(image, body=b"") for image in rendered.images)
        return Done(replace(rendered, images=bare), tuple(len(image.body) for image in rendered.images))
    except MemoryError:
        return Refusal("out-of-memory", "rendering the image takes more memory than a render may have")
    except Exception as error:  # noqa: BLE001 -- an exception that does not unpickle would break the executor
        return Failed(f"{type(error).__name__}: {error}"[:_MAX_TEXT])
    finally:
        os.close(source)
        os.close(output)


def _render(render: Render, source: int, presets: Sequence[Preset]) -> Rendered | Refusal:
    if os.fstat(source).st_size == 0:  # which mmap does not take
        return render(b"", presets)
    with mmap.mmap(source, 0, access=mmap.ACCESS_READ) as original:
        return render(original, presets)


def _lower_limit(kind: int, soft: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _end_with_parent() -> None:
    """Be killed as soon as the parent is gone, whatever way it went and whatever this process is doing.

    The parent holds the other end of a pipe. On Linux the kernel itself sends SIGKILL when that end closes: also
    to a child that is stopped, or deep in a decoder that lets no other Python thread run.
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

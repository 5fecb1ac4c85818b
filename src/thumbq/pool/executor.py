"""All that the pool uses of multiprocessing and concurrent.futures without a promise of theirs, each with its reason.

Read this file with each new version of Python.
"""

from __future__ import annotations

import builtins
import io
import multiprocessing.process
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import threading
from concurrent.futures.process import _ResultItem
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from thumbq.imaging import heap
from thumbq.pool import helperoutput, unlinkedsocket
from thumbq.pool.replies import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_KEPT: Final = re.compile(r"PATH|LANG|LC_\w+|TMPDIR|PYTHON\w*|VIRTUAL_ENV|LD_LIBRARY_PATH|MALLOC_\w+")

_GLOBALS: Final = {
    ("concurrent.futures.process", "_ResultItem"),
    ("concurrent.futures.process", "_rebuild_exc"),
    ("thumbq.errors", "Problem"),
}

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask this process for a stop, and that its children leave to it."""

_start_lock = threading.Lock()
_held: list[unlinkedsocket.Held] = []
"""The fork server's socket, if it has no file."""


class RecordingContext(ForkServerContext):
    """Remembers the one process that an executor starts and its replies, which no public attribute gives."""

    started: ForkServerProcess | None = None
    replies: ReplyQueue | None = None

    def Process(self, *args: Any, **kwargs: Any) -> ForkServerProcess:  # type: ignore[override]  # noqa: N802 -- it stands in for the class that multiprocessing keeps under this name
        """Make the process that the executor asks for."""
        self.started = ForkServerProcess(*args, **kwargs)
        return self.started

    def SimpleQueue(self) -> ReplyQueue:  # noqa: N802 -- the same
        """Make the executor's result queue."""
        self.replies = ReplyQueue(ctx=self)
        return self.replies


class ReplyQueue(SimpleQueue[Any]):
    """An executor's result queue that unpickles no more than an honest render process sends (see replies.py)."""

    _reader: Connection
    _writer: Connection
    _poll: Callable[[], bool]

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(ctx=ctx)
        self._plain = self._reader
        self._reader = _CheckingReader(os.dup(self._plain.fileno()), writable=False)
        self._poll = self._reader.poll

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        return self._plain, *state[1:]

    def hang_up(self) -> None:
        """Close the ends that the process has too: a reader that waits for the rest of a message then sees its end."""
        self._plain.close()
        self._writer.close()


class _CheckingReader(Connection):
    def recv(self) -> _ResultItem:
        item: Any = _Unpickler(io.BytesIO(self.recv_bytes(MAX_BYTES))).load()
        sane = (
            type(item) is _ResultItem
            and type(item.work_id) is int
            and item.exit_pid is None
            and isinstance(item.exception, Exception | None)
        )
        if not sane:
            raise pickle.UnpicklingError("a render process sent something other than a result")
        return cast("_ResultItem", item)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _GLOBALS:
            return super().find_class(module, name)
        found = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(found, type) and issubclass(found, Exception):
            return found
        raise pickle.UnpicklingError(f"a render process sent {module}.{name}")


def disown(process: ForkServerProcess) -> None:
    """Keep multiprocessing from reading the exit code of a process, which can be read only once.

    It reads those of all processes that it knows with each new start, perhaps while another thread does, and one of the
    two would get 255.
    """
    multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public does that


def leave_resource_tracker() -> None:
    """Close the pipe to the process that removes any semaphore or shared memory that it is told of, whoever's it is.

    For render processes: hostile code must not hold it.
    """
    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001 -- it has no method for that
    if tracker._fd is not None:  # noqa: SLF001 -- the same
        os.close(tracker._fd)  # noqa: SLF001 -- the same
        tracker._fd = None  # noqa: SLF001 -- the same


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the few variables that a render process needs: no credentials, no settings."""
    return heap.ENVIRONMENT | {name: value for name, value in environment.items() if _KEPT.fullmatch(name)}


@contextmanager
def clean_environment() -> Iterator[None]:
    """While this is open, processes that multiprocessing starts get neither our environment nor our main module.

    The fork server and the resource tracker are started by ``multiprocessing.util.spawnv_passfds`` when the first
    process needs them and again after they died; it has no parameter for the environment, and a change of os.environ
    would be seen by every thread. Its replacement stays: a semaphore that is freed, in any thread, may start the
    tracker again. The processes would run this program's main module again, which loads the whole service: they get an
    empty one. One thread at a time.
    """
    with _start_lock, _unlinked_socket():
        helperoutput.writer()  # is there before any thread may need it
        util.spawnv_passfds = _spawn
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _unlinked_socket() -> Iterator[None]:
    """While this is open, a fork server that is started gets a socket whose directory is removed again at the end.

    multiprocessing keeps the directory in TMPDIR as long as this process lives, and a kill -9 leaves it there. Where a
    socket cannot be reached without its file, that is so here too.
    """
    usual = util.get_temp_dir
    made: list[Path] = []

    def make() -> str:
        directory = Path(tempfile.mkdtemp(prefix="thumbq-"))
        if not unlinkedsocket.supported(directory):
            shutil.rmtree(directory, ignore_errors=True)
            return usual()
        made.append(directory)
        return str(directory)

    util.get_temp_dir = make
    try:
        yield
    finally:
        util.get_temp_dir = usual
        for directory in made:
            with suppress(OSError):  # no descriptor is left for it
                _hold_socket(directory)
                shutil.rmtree(directory, ignore_errors=True)


def _hold_socket(directory: Path) -> None:
    """Have the fork server's socket reached without its file, if that lies in this directory."""
    server: Any = forkserver._forkserver  # noqa: SLF001 - nothing public does that
    path = Path(server._forkserver_address or "/")  # noqa: SLF001 - the same
    if path.parent == directory:
        held = unlinkedsocket.Held(path)
        server._forkserver_address = held.address  # noqa: SLF001 - the same
        while _held:
            _held.pop().close()
        _held.append(held)


def _spawn(path: bytes | str, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Stand in for ``multiprocessing.util.spawnv_passfds``, with a clean environment.

    The signals of a stop are blocked from the first moment, since a terminal and systemd send them to everybody: the
    fork server must outlive the drain, because without it the end of a render process is not seen.
    """
    passed = {int(fd) for fd in passfds}
    actions = [
        *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() - passed),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(passed)),
        *((os.POSIX_SPAWN_DUP2, helperoutput.writer(), fd) for fd in (1, 2)),
    ]
    return os.posix_spawn(path, list(args), kept_environment(os.environ), file_actions=actions, setsigmask=STOP_SIGNALS)


def _inheritable() -> set[int]:
    """Return the descriptors that our own parent left open for us, which render processes must not have."""
    found = set()
    with suppress(OSError):  # a system without /proc
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 -- names, not paths
            with suppress(OSError):  # the descriptor that lists them is closed again
                if os.get_inheritable(int(name)):
                    found.add(int(name))
    return found - {0, 1, 2}

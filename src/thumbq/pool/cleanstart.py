"""Starting children that know nothing of this process: not its environment, not its main program."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from multiprocessing import util
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_KEPT: Final = re.compile(r"PATH|LANG|LC_\w+|TMPDIR|PYTHON\w*|VIRTUAL_ENV|LD_LIBRARY_PATH|MALLOC_\w+")
_MALLOC: Final = {
    # glibc would map and unmap every large bitmap anew: 11 to 13 % of the time on large images.
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
_lock = threading.Lock()


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the few variables that a child needs: no credentials, no settings."""
    return _MALLOC | {name: value for name, value in environment.items() if _KEPT.fullmatch(name)}


@contextmanager
def clean_start() -> Iterator[None]:
    """While this is open, children that multiprocessing starts get neither our environment nor our main module.

    The fork server and the resource tracker are started by ``multiprocessing.util.spawnv_passfds`` when the first
    child needs them and again after they died; it has no parameter for the environment, and changing os.environ
    instead would be seen by every thread. The children would run this program's main module again, which loads
    the whole service: they are told of an empty one. Threads take turns.
    """
    with _lock:
        main, spawn = sys.modules["__main__"], util.spawnv_passfds
        sys.modules["__main__"] = ModuleType("__main__")
        util.spawnv_passfds = _spawn
        try:
            yield
        finally:
            util.spawnv_passfds = spawn
            sys.modules["__main__"] = main


def _spawn(path: bytes | str, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Stand in for ``multiprocessing.util.spawnv_passfds``, with a scrubbed environment.

    SIGINT and SIGTERM are blocked from the first moment, since a terminal and systemd send them to everybody: the
    fork server must outlive the drain, because without it the children's ends are not seen.
    """
    passed = {int(fd) for fd in passfds}
    actions = [
        *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() - passed),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(passed)),
    ]
    return os.posix_spawn(
        path, list(args), scrubbed(os.environ), file_actions=actions, setsigmask=[signal.SIGINT, signal.SIGTERM]
    )


def _inheritable() -> set[int]:
    """Return the descriptors that who started us left open for us: they are none of a child's business."""
    found = set()
    with suppress(OSError):  # a system without /proc
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 -- names, not paths
            with suppress(OSError):  # the descriptor that lists them is closed again
                if os.get_inheritable(int(name)):
                    found.add(int(name))
    return found - {0, 1, 2}

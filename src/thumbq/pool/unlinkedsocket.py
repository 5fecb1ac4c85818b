"""A socket of the file system that is reached without its file: nothing is left of it, however its process ends.

On Linux ``/proc/self/fd/N`` leads to what a descriptor of O_PATH stands for, also when that has no name any more
(proc(5), open(2)).
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_BACKLOG: Final = 1


def supported(directory: Path) -> bool:
    """Whether it works here, tried with a socket in this directory: not without /proc, for example."""
    if sys.platform != "linux":
        return False
    path = directory / "try"
    with suppress(OSError), socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        held = Held(path)
        path.unlink()
        try:
            client.connect(held.address)
        finally:
            held.close()
        return True
    return False


class Held:
    """Keeps a socket within this process's reach when its file is removed. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_PATH | os.O_CLOEXEC)

    @property
    def address(self) -> str:
        """The address to connect to, in this process only."""
        return f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        """Let it go."""
        os.close(self._fd)

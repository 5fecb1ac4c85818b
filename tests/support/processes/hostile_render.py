"""A render function for tests of the sandbox: it does what code would do that has taken over a decoder.

Render processes import it by name, so it lies where Python finds it; all that it needs is loaded before the sandbox.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thumbq.imaging import Limits, Refusal
from thumbq.imaging.render import render as real_render
from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thumbq.core.preset import Preset

PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_seen: list[str] = []


class Evil:
    """Unpickles to a directory, which is made on the way."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def render(original: bytes | mmap.mmap, presets: Sequence[Preset]) -> Rendered | Refusal:
    """Do what the first word says, or render the image."""
    mark = bytes(original[:200]).decode(errors="replace").split()
    match mark:
        case ["attempt", port]:
            return _told(presets, {name: _errno(do) for name, do in _attempts(int(port)).items()})
        case ["fatal", name]:
            FATAL[name]()
            return _told(presets, "survived")
        case ["holdings"]:
            return _told(presets, _holdings())
        case ["seen"]:
            return _told(presets, _seen)
        case ["spin"]:
            re.fullmatch(r"(a|a)*b", "a" * 200)
        case ["answer", *words]:
            _answer(words)
            return _told(presets, None)
    return real_render(original, presets, Limits())


def _attempts(port: int) -> Mapping[str, Callable[[], object]]:
    parent = parent_process()
    assert parent is not None and parent.pid is not None  # noqa: PT018 - two facts of the same
    pid, channel = parent.pid, _channel()
    [source] = _open_fds(stat.S_ISREG)
    address = b"\2\0" + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    return {
        "connect": lambda: socket.socket().connect(("127.0.0.1", port)),
        "connect the socket that it has": lambda: _call("connect", channel, address, len(address)),
        "send over the socket that it has": lambda: _call("send", channel, b"x", 1, 0),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "pair of sockets": socket.socketpair,
        "open /etc/passwd": Path("/etc/passwd").read_bytes,
        "read the parent's environment": lambda: os.open(f"/proc/{pid}/environ", os.O_RDONLY),
        "read its own first environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
        "write a file": lambda: os.open("/tmp/thumbq-was-here", os.O_CREAT | os.O_WRONLY),
        "list a directory": lambda: list(Path("/").iterdir()),
        "look for a file": Path("/etc/passwd").stat,
        "remove a file": Path("/nonexistent").unlink,
        "rename a file": lambda: Path("/nonexistent").rename("/tmp/x"),
        "change a mode": lambda: Path("/nonexistent").chmod(0o777),
        "fork": os.fork,
        "start a program": lambda: subprocess.run(["/bin/true"], check=False),
        "spawn a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "signal the parent": lambda: os.kill(pid, 0),
        "have the parent signalled": lambda: fcntl.fcntl(channel, fcntl.F_SETOWN, pid),
        "limit the parent": lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE),
        "raise its limit of memory": lambda: resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)),
        "raise its limit of CPU time": lambda: resource.setrlimit(resource.RLIMIT_CPU, (10**6, -1)),
        "share memory": lambda: mmap.mmap(-1, 4096),
        "a stack that grows": lambda: mmap.mmap(-1, 4096, flags=PRIVATE | 0x100),
        "remap the first stack": lambda: _call("mremap", ctypes.c_void_p(0x1000), 4096, 1 << 30, 1),
        "32 GiB of addresses": lambda: mmap.mmap(-1, 32 << 30, flags=PRIVATE, prot=mmap.PROT_READ),
        "empty the original": lambda: os.ftruncate(source, 0),
        "change the original": lambda: os.pwrite(source, b"x", 0),
        "map the original to change it": lambda: mmap.mmap(source, 0, access=mmap.ACCESS_WRITE),
        "make a memory file": lambda: os.memfd_create("x"),
        "map new code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
        "make data code": lambda: _call("mprotect", ctypes.c_void_p(0x1000), 4096, mmap.PROT_READ | mmap.PROT_EXEC),
        "type into a terminal": lambda: fcntl.ioctl(0, 0x5412, b"x"),
        "new namespaces": lambda: _call("unshare", 0x10000000),
        "io_uring": lambda: _call("syscall", 425, 1, None),
        "a thread": lambda: threading.Thread(target=int).start(),
        "a signal to itself": lambda: os.kill(os.getpid(), 0),
    }


FATAL: Final[Mapping[str, Callable[[], object]]] = {
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "ptrace": lambda: _call("ptrace", 16, os.getppid(), None, None),
    "process_vm_readv": lambda: _call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "x32": lambda: _call("syscall", 0x40000000 + 2, b"/etc/passwd", 0),
}


def _call(name: str, *arguments: Any) -> None:
    if _LIBC[name](*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def _errno(do: Callable[[], object]) -> str:
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except ValueError:  # what setrlimit makes of EPERM
        return "EPERM"
    return "done"


def _open_fds(kind: Callable[[int], bool]) -> list[int]:
    found = []
    for fd in range(1024):
        try:
            if kind(os.fstat(fd).st_mode):
                found.append(fd)
        except OSError:
            continue
    return found


def _channel() -> int:
    [fd] = _open_fds(stat.S_ISSOCK)
    return fd


def _holdings() -> dict[str, int]:
    kinds = {"sockets": stat.S_ISSOCK, "pipes": stat.S_ISFIFO, "files": stat.S_ISREG, "devices": stat.S_ISCHR}
    return {name: len({_identity(fd) for fd in _open_fds(kind)}) for name, kind in kinds.items()}


def _identity(fd: int) -> tuple[int, int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_rdev


def _burn() -> None:
    while True:
        pass


def _answer(words: list[str]) -> None:
    match words:
        case ["evil", path]:
            _send_pickle(Evil(path))
        case ["and", "burn", *how]:
            if how == ["deaf"]:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXCPU})
            threading.Thread(target=_burn, daemon=True).start()
        case ["half"]:
            os.write(_channel(), b"\0\0\1\0half")
            time.sleep(3600)
        case ["leave"]:
            sys.exit("as asked")


def _send_pickle(what: object) -> None:
    """Send a pickle by the pipe over which the end of this call comes: an executor's, or that of pool/pipe.py."""
    frame: Any = sys._getframe()
    while not {"result_queue", "answers"} & frame.f_locals.keys():
        frame = frame.f_back
    found = frame.f_locals
    (found["answers"] if "answers" in found else found["result_queue"]._writer).send(what)
    time.sleep(3600)


def _told(presets: Sequence[Preset], what: object) -> Rendered:
    body = json.dumps(what).encode()
    images = tuple(RenderedImage(preset.name, body, 1, 1, preset.content_types[0]) for preset in presets)
    return Rendered("TEXT", 1, 1, images)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"import", "open"}:
        _seen.append(f"{event} {arguments[0]}")


if parent_process() is not None:
    sys.addaudithook(_watch)

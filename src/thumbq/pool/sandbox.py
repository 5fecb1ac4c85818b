"""The sandbox of a render process: with its decoders loaded, it works on what it holds and asks the kernel for little.

The kernel enforces it by a seccomp filter, which libseccomp makes (what systemd and container engines use for theirs):
a list of the system calls that a render needs, with no_new_privs. The process can open no file, make no socket, start
no process, signal and trace nobody, map no new code, and change none of its limits. It holds its pipes and a socket
from and to the parent, and a large original's memory file. All memory that it can get counts for RLIMIT_DATA, but for
that file's own and for a stack: shared memory, stacks that grow, and mremap, which would make one of those larger, are
refused.

All else is answered with EPERM, which a library that only probes survives. To start a program, or to reach into another
process, is no probe: it ends the process with SIGSYS. System calls younger than Linux 5.1 do not exist (ENOSYS); C
libraries then fall back to older ones, which the filter knows.

What remains: ``newfstatat`` without a path is how C libraries ask for an open file's size, and a filter cannot see
whether there is a path. Hostile code can still ask whether a file exists, and how large it is.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY: Final = "libseccomp.so.2"
_MACHINES: Final = {"x86_64", "aarch64"}

_ALLOWED: Final = (
    # open files
    *("read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "fstat", "recvmsg", "dup3"),
    *("poll", "ppoll", "select", "pselect6"),
    # memory
    *("brk", "munmap", "madvise"),
    # threads
    *("futex", "set_robust_list", "get_robust_list", "rseq", "sched_yield", "sched_getaffinity", "sched_getparam"),
    *("sched_getscheduler", "getcpu", "exit", "exit_group"),
    # signals
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    # time, limits, identity
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "getrusage"),
    *("setitimer",),
    *("sysinfo", "uname", "getrandom"),
    *("getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid"),
)
"""These, and those of ``_conditions``."""

_FATAL: Final = ("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev")

_YOUNG: Final = range(424, 512)
"""Since Linux 5.1 a new system call has the same number on all machines. clone3 is one of these."""

_MAP_TYPE: Final = 0x0F
_MAP_GROWSDOWN: Final = 0x0100
_AT_EMPTY_PATH: Final = 0x1000
_F_DUPFD_CLOEXEC: Final = 1030
_F_GETFD: Final = 1
_F_GETFL: Final = 3
_CLONE_THREAD: Final = 0x00010000
_CLONE_NAMESPACES: Final = 0x7E020000

# From seccomp.h.
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_ON_OTHER_ARCHITECTURE: Final = 2
_ALL_THREADS: Final = 4
_OPTIMIZE: Final = 8
_BINARY_TREE: Final = 2
_EQUAL: Final = 4
_MASKED_EQUAL: Final = 7


class _Condition(ctypes.Structure):
    """``struct scmp_arg_cmp``: what an argument of a system call (0 to 5) must be."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value_or_mask", ctypes.c_uint64),
        ("masked_value", ctypes.c_uint64),
    )


class _Refused(Exception):
    """libseccomp, or the kernel behind it, refuses a request."""


def confine() -> Problem | None:
    """Enter the sandbox for good. Return why there is none, if there is none; the process then goes on as it was."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _MACHINES or sys.maxsize < 1 << 32:
        return _problem(f"there is none for {sys.platform} on {machine}", "run on Linux, on x86-64 or arm64")
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return _problem(str(error), "install libseccomp (libseccomp2 in Debian and Ubuntu)")
    try:
        _load_filter(library)
    except _Refused as refused:
        return _problem(str(refused), "use Linux 4.14 and libseccomp 2.5 or later, and let the container use seccomp")
    return None


def _problem(why: str, fix: str) -> Problem:
    return Problem(f"render processes run without a sandbox: {why}", f"{fix}; or set THUMBQ_SANDBOX=off")


def _load_filter(library: ctypes.CDLL) -> None:
    library.seccomp_init.restype = ctypes.c_void_p
    made = library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM))
    if made is None:
        raise _Refused("seccomp_init fails")
    rules = ctypes.c_void_p(made)
    try:
        # libseccomp sets no_new_privs by default.
        for attribute, value in (
            (_ON_OTHER_ARCHITECTURE, _KILL_PROCESS),
            (_ALL_THREADS, 1),
            (_OPTIMIZE, _BINARY_TREE),
        ):
            _checked(library.seccomp_attr_set(rules, attribute, ctypes.c_uint32(value)), f"attribute {attribute}")
        for action, call, conditions in _rules():
            number = call if isinstance(call, int) else library.seccomp_syscall_resolve_name(call.encode())
            array = (_Condition * len(conditions))(*conditions)
            added = library.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, len(conditions), array)
            _checked(added, str(call))
        _checked(library.seccomp_load(rules), "seccomp")
    finally:
        library.seccomp_release(rules)


def _checked(status: int, what: str) -> None:
    if status < 0:
        raise _Refused(f"{what} is refused ({os.strerror(-status)})")


def _rules() -> Iterator[tuple[int, str | int, tuple[_Condition, ...]]]:
    for call in _ALLOWED:
        yield _ALLOW, call, ()
    for call, *conditions in _conditions():
        yield _ALLOW, call, tuple(conditions)
    for call in _FATAL:
        yield _KILL_PROCESS, call, ()
    for call in ("statx", *_YOUNG):
        yield _ERRNO | errno.ENOSYS, call, ()


def _conditions() -> Iterator[tuple[str, *tuple[_Condition, ...]]]:
    """Yield system calls with conditions that must all be true. A call may come several times: one match is enough."""
    itself = os.getpid()
    without_code = _masked(2, mmap.PROT_EXEC, 0)
    ours = mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE
    yield "mmap", without_code, _masked(3, mmap.MAP_ANONYMOUS | _MAP_TYPE | _MAP_GROWSDOWN, ours)
    yield "mmap", without_code, _masked(3, mmap.MAP_ANONYMOUS | _MAP_GROWSDOWN, 0)
    yield "mprotect", without_code
    yield "clone", _masked(0, _CLONE_THREAD | _CLONE_NAMESPACES, _CLONE_THREAD)
    yield "kill", _equal(0, itself)
    yield "tgkill", _equal(0, itself)
    yield "prlimit64", _equal(0, 0), _equal(2, 0)
    yield "newfstatat", _equal(3, _AT_EMPTY_PATH)
    for command in (_F_DUPFD_CLOEXEC, _F_GETFD, _F_GETFL):
        yield "fcntl", _equal(1, command)


def _equal(argument: int, value: int) -> _Condition:
    return _Condition(argument, _EQUAL, value, 0)


def _masked(argument: int, mask: int, value: int) -> _Condition:
    return _Condition(argument, _MASKED_EQUAL, mask, value)

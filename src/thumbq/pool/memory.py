"""Whether the render processes, at their limits, fit into the memory that this process's container may use."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from thumbq.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB: Final = 1 << 20

_NO_LIMIT: Final = 1 << 60
"""Version 1 of cgroups writes "no limit" as a number just below 2^63."""

_LEAST_LIMIT: Final = 128 * MIB
"""The least value of the setting."""

_V2: Final = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_V1: Final = "sys/fs/cgroup/memory"


def container_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the least memory limit of our control group and those above it; None where nothing is limited.

    ``root`` is where ``/proc`` and ``/sys`` lie. On AWS Lambda a variable gives the function's memory.
    """
    of_function = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return min([*_limits(root), *([int(of_function) * MIB] if of_function.isdecimal() else [])], default=None)


def memory_problem(
    processes: int, memory_limit_bytes: int, other_bytes: int, *, root: Path = Path("/")
) -> Problem | None:
    """Return a Problem if so many processes at their limit, and all else, need more than the container may use."""
    available = container_memory_bytes(root)
    needed = processes * memory_limit_bytes + other_bytes
    if available is None or needed <= available:
        return None
    what = (
        f"{processes} render processes of up to {_mib(memory_limit_bytes)} and {_mib(other_bytes)} for everything else"
        f" may take {_mib(needed)}; this container has {_mib(available)}, and the kernel would kill at random"
    )
    for_renders = max(available - other_bytes, 0)
    fewer, least = for_renders // memory_limit_bytes, for_renders // processes // MIB * MIB
    ways = [
        f"set THUMBQ_PROCESSES to at most {fewer}" if fewer else "",
        f"set THUMBQ_RENDER_MEMORY_BYTES to at most {least}" if least >= _LEAST_LIMIT else "",
        f"give the container {_mib(needed)}",
    ]
    return Problem(what, ", or ".join(way for way in ways if way))


def _limits(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for mount in _V2:
                yield from _up(root / mount, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _up(root / _V1, path, "memory.limit_in_bytes")


def _up(mount: Path, path: str, name: str) -> Iterator[int]:
    """Read a limit in a group and in all above it.

    In a container the mount often begins at our own group, while the path is as the host sees it, or leads out of the
    namespace (``/../..``): groups that are missing are skipped.
    """
    group = PurePosixPath("/") if ".." in PurePosixPath(path).parts else PurePosixPath(path)
    for above in (group, *group.parents):
        try:
            text = (mount / above.relative_to("/") / name).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < _NO_LIMIT:
            yield int(text)


def _mib(size: int) -> str:
    return f"{-(-size // MIB)} MiB"

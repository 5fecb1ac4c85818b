"""What a replica may come to need of memory, and which settings fit the container that it is in."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import structlog

from thumbq.core import malloc
from thumbq.core.units import MIB
from thumbq.errors import Problem
from thumbq.settings.model import PREFIX
from thumbq.settings.rendering import most_decode_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from thumbq.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LOWERED: Final = (
    "processes",
    "render_memory_bytes",
    "max_decode_bytes",
    "max_in_flight_bytes",
    "max_source_bytes",
    "max_uploads",
)

_ORIGINALS: Final = ("max_in_flight_bytes", "max_source_bytes")

_NO_LIMIT: Final = 1 << 60
"""Version 1 of cgroups writes "no limit" as a number just below 2^63."""

# Measured on Linux with S3 and SQS: the serving process has 80 MiB when idle, the fork server and the tracker 30.
_IDLE_BYTES: Final = 112 * MIB

# Bodies below 20 KiB of a thousand callbacks that are held, and the connections of calls.
_CALLBACK_BYTES: Final = 32 * MIB

_COMFORT_BYTES: Final = 512 * MIB
"""What a render process needs for the pictures of most cameras: with less, fewer processes are better."""

_MAPPED_BYTES: Final = 1 * MIB
_KEPT_BYTES: Final = 2 * MIB
_SHARE: Final = 8
"""Where memory is short, uploads get an eighth of it, and originals of jobs another."""

_LEAST_RENDER_BYTES: Final = 128 * MIB
_LEAST_IN_FLIGHT_BYTES: Final = 32 * MIB

_V2: Final = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_V1: Final = "sys/fs/cgroup/memory"


def container_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the least memory limit of our control group and those above it; None where nothing is limited.

    ``root`` is where ``/proc`` and ``/sys`` lie. On AWS Lambda a variable gives the function's memory.
    """
    of_function = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return min([*_limits(root), *([int(of_function) * MIB] if of_function.isdecimal() else [])], default=None)


def return_uploads() -> None:
    """Have the memory of large uploads go back to the system with each of them, and grow without a copy.

    What stays is enough for the pieces that originals and uploads come in: their pages would cost as much again.
    """
    malloc.map_blocks_from(_MAPPED_BYTES)
    malloc.keep_free(_KEPT_BYTES)


def needed_bytes(settings: Settings, *, uploads: bool = True) -> int:
    """Return what a replica may come to need; without ``uploads`` one that has no HTTP side, as on AWS Lambda."""
    return settings.processes * settings.render_memory_bytes + _other_bytes(settings, uploads=uploads)


def derived(settings: Settings, *, uploads: bool = True, root: Path = Path("/")) -> Settings:
    """Return settings that fit the container: what nobody set is lowered, and what is set stays.

    They stay as they are without a limit, and where what is set leaves no room: ``memory_problem`` tells that.
    """
    available = container_memory_bytes(root)
    if available is None:
        return settings
    lower = fitting(settings, available, uploads=uploads, kept=settings.model_fields_set)
    if not lower:
        return settings
    log.info("settings.derived", container_bytes=available, **lower)
    return settings.model_copy(update=lower)


def fitting(
    settings: Settings, available: int, *, uploads: bool = True, kept: AbstractSet[str] = frozenset()
) -> dict[str, int] | None:
    """Return the settings to lower so that all fits into ``available`` bytes, by their names; None: it cannot.

    No setting is raised, and those named in ``kept`` and the size of an upload stay.
    """
    if needed_bytes(settings, uploads=uploads) <= available:
        return {}
    share = available // _SHARE
    originals = _whole(max(share, settings.max_upload_bytes + MIB - 1, _LEAST_IN_FLIGHT_BYTES))
    # The larger of the two counts: where one stays, the other need not be less.
    originals = max([originals, *(getattr(settings, name) for name in _ORIGINALS if name in kept)])
    most = dict.fromkeys(_ORIGINALS, originals)
    if uploads:
        most["max_uploads"] = max(1, share // settings.max_upload_bytes)
    lower = _lowered(settings, most, kept)
    pool = _fitting_pool(settings, available - _other_bytes(lower, uploads=uploads), kept)
    if pool is None:
        return None
    lower = _lowered(lower, pool, kept)
    return {name: getattr(lower, name) for name in _LOWERED if getattr(lower, name) != getattr(settings, name)}


def _fitting_pool(settings: Settings, rest: int, kept: AbstractSet[str]) -> dict[str, int] | None:
    """Return the most render processes that have enough in ``rest`` bytes, and the memory of each; None: not one."""
    numbers = [settings.processes] if "processes" in kept else range(settings.processes, 0, -1)
    for processes in numbers:
        render = settings.render_memory_bytes
        if "render_memory_bytes" not in kept:
            render = min(render, _whole(rest // processes))
        decode = most_decode_bytes(render)
        enough = min(settings.render_memory_bytes, _LEAST_RENDER_BYTES if processes == numbers[-1] else _COMFORT_BYTES)
        can_decode = "max_decode_bytes" not in kept or settings.decode_bytes <= decode
        if enough <= render <= rest // processes and can_decode:
            return {"processes": processes, "render_memory_bytes": render, "max_decode_bytes": decode}
    return None


def _lowered(settings: Settings, most: Mapping[str, int], kept: AbstractSet[str]) -> Settings:
    now = {name: getattr(settings, name) for name in most}
    lower = {name: min(now[name], most[name]) for name in most if name not in kept and now[name] is not None}
    return settings.model_copy(update=lower)


def memory_problem(settings: Settings, *, uploads: bool = True, root: Path = Path("/")) -> Problem | None:
    """Return a Problem if the replica may come to need more than its container may use, with settings that fit."""
    available = container_memory_bytes(root)
    needed = needed_bytes(settings, uploads=uploads)
    if available is None or needed <= available:
        return None
    others = _mib(_other_bytes(settings, uploads=uploads))
    what = (
        f"{settings.processes} render processes of up to {_mib(settings.render_memory_bytes)} and {others} for"
        f" everything else may take {_mib(needed)}; this container has {_mib(available)}, and the kernel would kill at"
        " random"
    )
    more = f"give the container {_mib(needed)}"
    lower = fitting(settings, available, uploads=uploads)
    return Problem(what, more if lower is None else f"set {as_variables(lower)}, or {more}")


def as_variables(values: Mapping[str, int]) -> str:
    """Return settings as a shell and a file of variables take them."""
    return " ".join(f"{PREFIX}{name.upper()}={value}" for name, value in values.items())


def _other_bytes(settings: Settings, *, uploads: bool) -> int:
    # An original that is larger than the budget goes alone.
    originals = max(settings.max_in_flight_bytes, settings.max_source_bytes)
    callbacks = 0 if settings.webhooks is None or not uploads else _CALLBACK_BYTES
    return _IDLE_BYTES + originals + callbacks + (settings.max_uploads * settings.max_upload_bytes if uploads else 0)


def _whole(size: int) -> int:
    return size // MIB * MIB


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

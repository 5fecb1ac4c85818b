"""Pools whose renders do what marks say (see marked_render), and how tests use them."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.patience import until
from support.processes import marked_render
from support.replicas.replica import alive
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import Problem, SetupError
from thumbq.pool import PoolConfig, Recycling
from thumbq.pool.processhandle import ProcessHandle
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from thumbq.ports import Rendered

MIB = 1 << 20

ONE_PROCESS = PoolConfig(processes=1, memory_limit_bytes=512 * MIB, timeout_s=20)


def marked_pool(
    *,
    processes: int = 1,
    timeout_s: float = 20,
    memory_limit_bytes: int = 512 * MIB,
    recycle_jobs: int = 1000,
    recycle_growth_bytes: int = 256 * MIB,
) -> RenderPool:
    config = PoolConfig(
        processes=processes,
        memory_limit_bytes=memory_limit_bytes,
        timeout_s=timeout_s,
        recycling=Recycling(recycle_jobs, recycle_growth_bytes),
    )
    return RenderPool(config, render=marked_render.render)


async def render(
    pool: RenderPool, data: bytes, *presets: Preset, begun: Callable[[], Awaitable[None]] | None = None
) -> Rendered:
    with pool.source() as source:
        source.write(data)
        async with pool.acquire() as process:
            if begun is not None:
                await begun()
            return await process.render(source, presets or [THUMBNAIL])


async def pid_of_render(pool: RenderPool) -> int:
    return int((await render(pool, b"ok")).images[0].body)


class Begun:
    """Counts the renders that have got a process."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1

    async def reaches(self, count: int) -> None:
        await until(lambda: self.count >= count, within_s=5, what=lambda: f"{count} renders, not {self.count}")


async def whole(pool: RenderPool, size: int) -> Sequence[int]:
    """Wait until the pool has as many processes as it should have, all alive, and return them."""

    def complete() -> bool:
        return len(pool.pids()) == size and all(alive(pid) for pid in pool.pids())

    await until(complete, within_s=5, what=lambda: f"{size} processes, not {pool.pids()}")
    return pool.pids()


async def gone(*pids: int) -> None:
    """Wait for the end of processes, as long as one may last that has been killed."""
    await until(lambda: not any(alive(pid) for pid in pids), within_s=1, what=f"the end of {pids}")


def parent(pid: int) -> int:
    """Return the process that started another one; of the pool's processes it is the fork server."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if alive(int(child))}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for a while. While the fork server is stopped no start of a render process gets anywhere."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def no_process_starts() -> Iterator[None]:
    def start(_: ProcessHandle) -> None:
        raise SetupError([Problem("no memory, as asked", "none")])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProcessHandle, "start", start)
        yield

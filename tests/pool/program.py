"""A program with a pool, for tests of how it starts and ends. Arguments: marks of renders to start, one each.

Prints a line whenever it is run as a main module, the process ids of the render processes once they are there; the
renders print nothing. With the mark ``restart`` the fork server is killed first, and the pool must bring up another;
with ``no-python`` there is no interpreter for the processes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import anyio
import structlog

from support.patience import until
from support.processes.marked_render import render
from support.replicas.replica import alive
from thumbq.core.preset import THUMBNAIL
from thumbq.errors import SetupError
from thumbq.pool import PoolConfig
from thumbq.pool.renderpool import RenderPool

print("main module", flush=True)  # noqa: T201 -- what it prints is what the test reads


async def main(marks: list[str]) -> None:
    if "no-python" in marks:
        multiprocessing.set_executable("/nonexistent/python")
    async with (
        RenderPool(PoolConfig(processes=2, memory_limit_bytes=512 << 20, timeout_s=30), render=render) as pool,
        anyio.create_task_group() as tasks,
    ):
        if "restart" in marks:
            marks.remove("restart")
            await _kill_fork_server(pool)
        print(json.dumps(pool.pids()), flush=True)  # noqa: T201 -- the same
        for mark in marks:
            tasks.start_soon(_render, pool, mark)


async def _render(pool: RenderPool, mark: str) -> None:
    with pool.source() as source:
        source.write(mark.encode())
        async with pool.acquire() as process:
            await process.render(source, [THUMBNAIL])


async def _kill_fork_server(pool: RenderPool) -> None:
    before = pool.pids()
    server = _parent(before[0])
    os.kill(server, signal.SIGKILL)
    await until(lambda: not alive(server), within_s=5, what="the end of the fork server")
    await until(lambda: len(set(pool.pids()) - set(before)) == len(before), within_s=5, what="new processes")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background ignore it
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        anyio.run(main, sys.argv[1:])
    except SetupError as error:
        print(error.problems[0].what, flush=True)  # noqa: T201 -- the same
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

"""The pool: a Renderer with a fixed number of processes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Self

from thumbq.pool.acquiredprocess import AcquiredProcess
from thumbq.pool.entrypoint import render_image
from thumbq.pool.original import Original
from thumbq.pool.processhandle import ProcessHandle
from thumbq.pool.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from thumbq.errors import Problem
    from thumbq.pool.config import PoolConfig
    from thumbq.pool.entrypoint import RenderFunction


class RenderPool:
    """A Renderer. Use it as an async context manager in one task: entering starts its processes, leaving kills them.

    ``render`` is a function that the processes can import; the default is the real one. Entering raises SetupError.
    """

    def __init__(self, config: PoolConfig, *, render: RenderFunction | None = None) -> None:
        new = partial(
            ProcessHandle,
            render or partial(render_image, limits=config.limits),
            memory_limit_bytes=config.memory_limit_bytes,
            sandbox=config.sandbox,
        )
        self._timeout_s = config.timeout_s
        self._supervisor = Supervisor(new, size=config.processes, recycling=config.recycling, queues=config.queues)

    async def __aenter__(self) -> Self:
        try:
            await self._supervisor.open()
        except BaseException as error:
            await self._supervisor.close(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._supervisor.close(kind, error, traceback)

    def pids(self) -> Sequence[int]:
        """Return the process ids of the processes in service; a killed one is missing until another one is ready."""
        return self._supervisor.pids()

    def unconfined(self) -> Problem | None:
        """Return why the processes run without a sandbox, if they do and should not."""
        return self._supervisor.unconfined

    def source(self) -> AbstractContextManager[Original]:
        """Open a place for one original's bytes; leaving it frees them."""
        return Original()

    @asynccontextmanager
    async def acquire(self, queue: str = "") -> AsyncIterator[AcquiredProcess]:
        """Wait for an idle process, and hold it; see ports.Renderer."""
        process = await self._supervisor.acquire(queue)
        acquired = AcquiredProcess(self._supervisor, process, queue=queue, timeout_s=self._timeout_s)
        try:
            yield acquired
        finally:
            acquired.release()

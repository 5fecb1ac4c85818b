"""The renderer of all queues, with the number of jobs that wait for one of its processes."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio

from thumbq.ports.observing import StageEnded, emit
from thumbq.ports.tracing import InStage, during

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager

    from thumbq.ports import Renderer, RenderProcess, RenderSource


class CountedRenderer:
    """A Renderer that counts who waits."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._waiting = 0

    def waiting(self) -> int:
        """Return how many jobs have their original, and wait for a process."""
        return self._waiting

    def source(self) -> AbstractContextManager[RenderSource]:
        """Open a place for one original's bytes."""
        return self._renderer.source()

    @asynccontextmanager
    async def acquire(self, queue: str = "") -> AsyncIterator[RenderProcess]:
        """Wait for an idle process, and hold it."""
        with ExitStack() as waits:
            waits.enter_context(self._one_more())
            async with self._renderer.acquire(queue) as process:
                waits.close()
                began = anyio.current_time()
                with during(InStage("render", queue)):
                    try:
                        yield process
                    finally:
                        emit(StageEnded("render", queue, anyio.current_time() - began))

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

"""The one double of a Renderer: it renders in this process, and does as it is told."""

from __future__ import annotations

from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from io import BytesIO
from typing import TYPE_CHECKING

import anyio

from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from thumbq.core.preset import Preset
    from thumbq.ports import RenderProcess, RenderSource


def pictures(presets: Sequence[Preset]) -> Rendered:
    """Return a picture of one byte for each preset."""
    return Rendered("JPEG", 4, 3, tuple(RenderedImage(p.name, b"x", 1, 1, p.content_types[0]) for p in presets))


class FakeRenderer:
    """Stands in for the pool: gives pictures of one byte, or what ``outcomes`` says, render by render.

    An outcome is an exception, or how many seconds the render takes. A subclass may say who gets a process
    (``process``) and what a render does (``result``).
    """

    def __init__(self, *outcomes: Exception | float, processes: int = 100) -> None:
        self._outcomes = list(outcomes)
        self._processes = anyio.Semaphore(processes)
        self.asked = 0
        """How many renders have asked for a process, with those that have one."""
        self.renders = 0
        self.killed = 0

    def source(self) -> AbstractContextManager[RenderSource]:
        return nullcontext(BytesIO())

    @asynccontextmanager
    async def acquire(self, queue: str = "") -> AsyncIterator[RenderProcess]:
        self.asked += 1
        async with self.process(queue):
            yield self

    @asynccontextmanager
    async def process(self, queue: str) -> AsyncIterator[None]:
        """Wait for a process, and hold it."""
        del queue
        async with self._processes:
            yield

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        """Be the process that renders, too."""
        assert isinstance(source, BytesIO)
        self.renders += 1
        return await self.result(source.getvalue(), presets)

    async def result(self, original: bytes, presets: Sequence[Preset]) -> Rendered:
        """Render an original."""
        del original
        outcome = self._outcomes.pop(0) if self._outcomes else 0.0
        if isinstance(outcome, Exception):
            raise outcome
        try:
            await anyio.sleep(outcome)
        except anyio.get_cancelled_exc_class():
            self.killed += 1
            raise
        return pictures(presets)

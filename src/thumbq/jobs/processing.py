"""Making: an original fetched, rendered in a child, and its renditions stored."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing, ObjectTooLarge, RenderRefused, SourceMissing
from thumbq.jobs import presets
from thumbq.manifests import rendition_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from thumbq.core.manifest import RenditionRecord
    from thumbq.jobs.bytebudget import ByteBudget
    from thumbq.jobs.manifestwriter import Attempt
    from thumbq.ports import ObjectInfo, ObjectStore, RenderedImage, Renderer, RenderProcess, RenderSource
    from thumbq.settings import Settings

_FIRST_RESERVE: Final = 16 << 20
"""What is reserved before the size of an original is known; nearly all that phones and cameras make is smaller."""


class Processor:
    """Makes the renditions of originals in one queue, within the budget of bytes in memory."""

    def __init__(
        self, *, store: ObjectStore, renderer: Renderer, budget: ByteBudget, settings: Settings, queue: str = ""
    ) -> None:
        self._store = store
        self._renderer = renderer
        self._budget = budget
        self._settings = settings
        self._queue = queue
        self._first_queue = next(iter(settings.queue_weights))

    @asynccontextmanager
    async def ready(
        self, attempt: Attempt, *, held_up: bool
    ) -> AsyncIterator[Callable[[], Awaitable[Sequence[RenderedImage]]]]:
        """Fetch the original, and hold a process for it; give the render. Fills in what the attempt learns.

        ``held_up``: others wait until this render has ended, also of more urgent queues. It waits for a process in the
        most urgent one.
        """
        async with self._fetched(attempt.request.source) as (info, original):
            attempt.info = info
            presets.settle(attempt, self._settings, info.metadata)
            queue = self._first_queue if held_up else self._queue
            async with self._renderer.acquire(queue) as process:
                yield partial(_render, attempt, original, process)

    async def store(self, source: ObjectRef, images: Sequence[RenderedImage]) -> dict[str, RenditionRecord]:
        """Store renditions, and return their records by preset."""
        return {image.preset: await self._store_rendition(source, image) for image in images}

    @asynccontextmanager
    async def _fetched(self, source: ObjectRef) -> AsyncIterator[tuple[ObjectInfo, RenderSource]]:
        """Hold an original in memory, with its bytes reserved before they come."""
        limit = self._settings.max_source_bytes
        size = min(_FIRST_RESERVE, limit)
        while True:
            async with self._budget.reserve(size, self._queue):
                with self._renderer.source() as original:
                    try:
                        with _final(source):
                            info = await self._store.fetch(source, original, max_bytes=size)
                    except ObjectTooLarge as error:
                        if error.size > limit:
                            text = f"the original has {error.size} bytes, more than {limit}"
                            raise RenderRefused("too-large", text) from error
                        size = error.size
                    else:
                        yield info, original
                        return

    async def _store_rendition(self, source: ObjectRef, image: RenderedImage) -> RenditionRecord:
        preset = self._settings.presets[image.preset]
        ref = ObjectRef(source.bucket, preset.rendition_key(source.key, image.content_type))
        await self._store.put(ref, image.body, content_type=image.content_type)
        return rendition_record(preset, ref, image)


async def _render(attempt: Attempt, original: RenderSource, process: RenderProcess) -> Sequence[RenderedImage]:
    attempt.rendered = await process.render(original, attempt.presets)
    return attempt.rendered.images


@contextmanager
def _final(source: ObjectRef) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise SourceMissing(f"there is no original {source.key!r}") from error

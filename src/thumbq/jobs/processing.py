"""Processing: an original is fetched into memory, and its renditions are stored."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from thumbq.core.job import ObjectRef
from thumbq.core.retry import Delete
from thumbq.errors import (
    BackendRefused,
    BucketNotAllowed,
    ObjectArchived,
    ObjectMissing,
    ObjectTooLarge,
    RenderRefused,
    SourceArchived,
    SourceDenied,
    SourceMissing,
)
from thumbq.jobs.delivery import JobResult, Outcome
from thumbq.manifests import rendition_record
from thumbq.ports.observing import StageEnded, emit
from thumbq.ports.tracing import InStage, during

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from thumbq.core.manifest import RenditionRecord
    from thumbq.jobs.delivery import Job
    from thumbq.jobs.resources import JobResources
    from thumbq.ports import ObjectInfo, RenderedImage, RenderSource
    from thumbq.ports.observing import Stage
    from thumbq.ports.tracing import Note

_FIRST_RESERVE: Final = 16 << 20
"""What is reserved before the size of an original is known; nearly all that phones and cameras make is smaller."""


class Processor:
    """Fetches originals and stores renditions for the jobs of one queue, within the budget of bytes in memory.

    An original may have ``max_source_bytes``.
    """

    def __init__(self, resources: JobResources, *, queue_name: str, max_source_bytes: int) -> None:
        self._resources = resources
        self._queue_name = queue_name
        self._max_source_bytes = max_source_bytes

    @asynccontextmanager
    async def fetched(self, source: ObjectRef) -> AsyncIterator[tuple[ObjectInfo, RenderSource]]:
        """Hold an original in memory; its bytes are reserved before they come.

        Raises SourceMissing, RenderRefused when it is too large, and as ``original_answers``.
        """
        limit = self._max_source_bytes
        began = self._resources.clock.monotonic()
        size = min(_FIRST_RESERVE, limit)
        with ExitStack() as stage:
            note = stage.enter_context(during(InStage("fetch", self._queue_name, source.key)))
            while True:
                async with self._resources.budget.reserve(size, self._queue_name):
                    with self._resources.renderer.source() as original:
                        try:
                            with original_answers(source), _missing_is_final(source):
                                info = await self._resources.store.fetch(source, original, max_bytes=size)
                        except ObjectTooLarge as error:
                            if error.size > limit:
                                text = f"the original has {error.size} bytes, more than {limit}"
                                raise RenderRefused("too-large", text) from error
                            size = error.size
                        else:
                            self._ended("fetch", began, info.size or 0, note)
                            stage.close()
                            yield info, original
                            return

    async def store(self, source: ObjectRef, images: Sequence[RenderedImage]) -> dict[str, RenditionRecord]:
        """Store renditions, and return their records by preset. Raises BackendError."""
        began = self._resources.clock.monotonic()
        with during(InStage("store", self._queue_name, source.key)) as note:
            records = {image.preset: await self._store_rendition(source, image) for image in images}
            self._ended("store", began, sum(len(image.body) for image in images), note)
        return records

    def _ended(self, stage: Stage, began: float, size: int, note: Note) -> None:
        note(size=size)
        emit(StageEnded(stage, self._queue_name, self._resources.clock.monotonic() - began, size))

    async def _store_rendition(self, source: ObjectRef, image: RenderedImage) -> RenditionRecord:
        preset = self._resources.catalog.presets[image.preset]
        ref = ObjectRef(source.bucket, preset.rendition_key(source.key, image.content_type))
        await self._resources.store.put(ref, image.body, content_type=image.content_type)
        return rendition_record(preset, ref, image)


def not_served(job: Job, resources: JobResources) -> JobResult | None:
    """Return the result of what is no job. Raises BucketNotAllowed."""
    source = job.source
    if source.bucket != resources.bucket:
        raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
    return JobResult(Outcome.NO_JOB, Delete()) if resources.catalog.is_output(source.key) else None


@contextmanager
def original_answers(source: ObjectRef) -> Iterator[None]:
    """Say of a request for an original that it was: raises SourceDenied, SourceArchived, BackendError."""
    try:
        yield
    except ObjectArchived as error:
        text = f"the original {source.key!r} is archived: restore it, then redrive the message ({error})"
        raise SourceArchived(text) from error
    except BackendRefused as error:
        raise SourceDenied(f"the original {source.key!r} is refused: {error}") from error


@contextmanager
def _missing_is_final(source: ObjectRef) -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise SourceMissing(f"there is no original {source.key!r}") from error

"""An attempt: one receive's try at one job, step by step."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import BucketNotAllowed, ObjectMissing, RenderKilled, SourceReplaced
from thumbq.jobs import fencing
from thumbq.jobs.apart import render_apart
from thumbq.jobs.delivery import JobResult, Outcome
from thumbq.jobs.findings import Findings
from thumbq.jobs.poison import CrashHistory, quarantine
from thumbq.jobs.presets import resolve_presets
from thumbq.jobs.processing import original_answers
from thumbq.manifests import read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thumbq.core.manifest import Manifest
    from thumbq.core.preset import Preset
    from thumbq.jobs.delivery import Delivery, Job
    from thumbq.jobs.manifestwriter import ManifestWriter
    from thumbq.jobs.processing import Processor
    from thumbq.jobs.resources import JobResources
    from thumbq.ports import Rendered, RenderProcess, RenderSource

_CLEAN_UP_S: Final = 0.5
"""How long an attempt that is cut off may take to close its crash record."""


class Attempt:
    """Looks whether a job is done, fetches the original, renders it, and stores renditions and manifest.

    Its members are for reading: ``findings`` is what it knows of the original so far, ``previous`` the manifest that it
    found once it has ``looked``, ``crashes`` the job's crash history.
    """

    def __init__(self, job: Job, resources: JobResources, processor: Processor, manifests: ManifestWriter) -> None:
        self.job = job
        self.findings = Findings()
        self.previous: Manifest | None = None
        self.looked = False
        self.crashes = CrashHistory(resources.store, resources.bucket, job)
        self._resources = resources
        self._processor = processor
        self._manifests = manifests

    async def run(self, delivery: Delivery, queue_name: str) -> JobResult:
        """Do the job. Raises ThumbqError, by which the job runner decides."""
        started = self._resources.clock.monotonic()
        with delivery.interruptible() as looking:
            if (settled := await self.settled()) is not None:
                return settled
            await self.crashes.load()
        if looking.cancelled_caught or not await self._make(delivery, queue_name):
            return JobResult(Outcome.INTERRUPTED, Release())
        await self._publish()
        return self._done(started)

    async def settled(self) -> JobResult | None:
        """Return the result when there is nothing to make, by the message and by what earlier attempts have left.

        Raises JobFailed when the message can never be done, and BackendError.
        """
        job, resources = self.job, self._resources
        if job.source.bucket != resources.bucket:
            raise BucketNotAllowed(f"the message names the bucket {job.source.bucket!r}, which is not served here")
        if resources.catalog.is_output(job.source.key):
            return JobResult(Outcome.NO_JOB, Delete())
        self.previous = await read_manifest(resources.store, job.source)
        self.looked = True
        if self.previous and self.previous.error and self.previous.message_id == job.message.id:
            # This very message has failed before; only its burial is missing.
            return JobResult(Outcome.FAILED, Bury(self.previous.error.code, self.previous.error.message))
        self._resolve(None)
        if await self._is_done():
            return JobResult(Outcome.ALREADY_DONE, Delete())
        return None

    async def _is_done(self) -> bool:
        if self.previous is None or self.previous.status != "done":
            return False
        try:
            with original_answers(self.job.source):
                info = await self._resources.store.head(self.job.source)
        except ObjectMissing:
            # A late duplicate of the message must not turn what was done into a failure.
            self.findings = replace(self.findings, source_gone=True)
        else:
            self.findings = replace(self.findings, head_etag=info.etag)
            self._resolve(info.metadata)
        return self.findings.are_met_by(self.previous, message_id=self.job.message.id)

    def _resolve(self, metadata: Mapping[str, str] | None) -> None:
        resolved = resolve_presets(self.job.request, self._resources.catalog, metadata)
        self.findings = replace(self.findings, presets=resolved.presets, callback_url=resolved.callback_url)

    async def _make(self, delivery: Delivery, queue_name: str) -> bool:
        """Render, and return True, or False when a stop comes before.

        Presets that have killed a render together are made apart at the next receive, and after the last one at once.
        """
        together = not self.crashes.record.quarantined
        try:
            return await self._hold_and_render(delivery, queue_name)
        except RenderKilled:
            if not (delivery.last_receive and together and len(self.findings.presets) > 1):
                raise
        return await self._hold_and_render(delivery, queue_name)

    async def _hold_and_render(self, delivery: Delivery, queue_name: str) -> bool:
        async with AsyncExitStack() as stack:
            with delivery.interruptible() as preparation:
                held = await self._acquire(stack, queue_name)
            if preparation.cancelled_caught:
                return False
            await self._render(*held, last_receive=delivery.last_receive)
        return True

    async def _acquire(self, stack: AsyncExitStack, queue_name: str) -> tuple[RenderSource, RenderProcess]:
        """Hold what the render needs until ``stack`` is closed: the quarantine, the original and a process."""
        record, lock = self.crashes.record, self._resources.quarantine
        if record.poison:
            raise RenderKilled(record.code, record.text)
        await stack.enter_async_context(quarantine(self.crashes, lock, queue_name))
        info, original = await stack.enter_async_context(self._processor.fetched(self.job.source))
        self.findings = replace(self.findings, info=info)
        self._resolve(info.metadata)
        # Quarantined jobs of all queues wait for this one.
        queue = lock.first_queue if record.quarantined else queue_name
        return original, await stack.enter_async_context(self._resources.renderer.acquire(queue))

    async def _render(self, original: RenderSource, process: RenderProcess, *, last_receive: bool) -> None:
        try:
            await self._render_recorded(original, process, last_receive=last_receive)
        except anyio.get_cancelled_exc_class():
            if fencing.is_held():
                with anyio.move_on_after(_CLEAN_UP_S, shield=True):
                    await self.crashes.render_ended()
            raise

    async def _render_recorded(self, original: RenderSource, process: RenderProcess, *, last_receive: bool) -> None:
        presets, crashes = self.findings.presets, self.crashes
        try:
            if crashes.record.quarantined and len(presets) > 1:
                alone = partial(self._render_alone, original, process, last_receive=last_receive)
                rendered = await render_apart(alone, presets, endings=lambda name: crashes.record.of(name).endings)
            else:
                rendered = await self._render_once(original, process, presets)
        except RenderKilled as error:
            await crashes.render_killed(error)
            raise
        for one in rendered.not_made:
            if crashes.record.leaves_open(one.preset) and not last_receive:
                raise RenderKilled(one.code, one.text)
        await crashes.render_ended()
        self.findings = replace(self.findings, rendered=rendered)

    async def _render_alone(
        self, original: RenderSource, process: RenderProcess, preset: Preset, *, last_receive: bool
    ) -> Rendered:
        """Make one of several presets. Raises RenderKilled also for one that has killed too many renders before."""
        crashes, name = self.crashes, preset.name
        if crashes.record.rules_out(name, last_receive=last_receive):
            past = crashes.record.of(name)
            raise RenderKilled(past.code, past.text)
        try:
            return await self._render_once(original, process, [preset], alone=name)
        except RenderKilled as error:
            await crashes.render_killed(error, preset=name)
            raise

    async def _render_once(
        self, original: RenderSource, process: RenderProcess, presets: Sequence[Preset], *, alone: str | None = None
    ) -> Rendered:
        await self.crashes.render_begins(preset=alone)
        fencing.check()
        return await process.render(original, presets)

    async def _publish(self) -> None:
        await self._check_source()
        assert self.findings.rendered is not None
        made = await self._processor.store(self.job.source, self.findings.rendered.images)
        await self._manifests.write_done(self.job, self.findings, self.previous, made)
        await self._check_source()

    async def _check_source(self) -> None:
        """Raise SourceReplaced when the original is another one by now; those of ``POST /upload`` never are.

        Two messages about one key may be at work at once, and the one that fetched the older original may end last.
        Asked before anything is stored, it keeps the older picture from going over the newer one; asked after, it has
        the job done again where that has happened all the same.
        """
        source, info = self.job.source, self.findings.info
        if info is None or source.key.startswith(keys.UPLOADS_PREFIX):
            return
        with suppress(ObjectMissing), original_answers(source):
            etag = (await self._resources.store.head(source)).etag
            if etag != info.etag:
                self.findings = replace(self.findings, info=None, rendered=None, head_etag=etag)
                raise SourceReplaced(f"the original {source.key!r} was replaced while it was rendered")

    def _done(self, started: float) -> JobResult:
        clock, rendered, sent_at = self._resources.clock, self.findings.rendered, self.job.message.sent_at
        assert rendered is not None
        return JobResult(
            Outcome.DONE,
            Delete(),
            renditions=tuple(image.preset for image in rendered.images),
            failed={one.preset: one.code for one in rendered.not_made},
            duration_s=clock.monotonic() - started,
            waited_s=None if sent_at is None else clock.wall() - sent_at,
        )

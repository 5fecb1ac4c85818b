"""An attempt: one receive's try at one job, step by step."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import (
    BackendError,
    BucketNotAllowed,
    JobFailed,
    ObjectExists,
    ObjectMissing,
    RenderKilled,
    SourceReplaced,
)
from thumbq.jobs.delivery import JobResult, Outcome
from thumbq.jobs.findings import Findings
from thumbq.jobs.poison import CrashHistory, quarantine
from thumbq.jobs.presets import resolve_presets
from thumbq.jobs.processing import original_answers
from thumbq.jobs.recordedrender import RecordedRender
from thumbq.manifests import read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.manifest import Manifest, RenditionRecord
    from thumbq.jobs.delivery import Delivery, Job
    from thumbq.jobs.manifestwriter import ManifestWriter
    from thumbq.jobs.processing import Processor
    from thumbq.jobs.resources import JobResources
    from thumbq.ports import RenderProcess, RenderSource


class Attempt:
    """Fetches the original of a job, renders it, and stores renditions and manifest.

    Whether the job is done is looked at first only where there may have been an attempt already; else putting the
    manifest shows whether there is one.

    Its members are for reading: ``findings`` is what it knows of the original so far, ``previous`` the manifest that it
    found once it has ``looked``, ``crashes`` the job's crash history, ``manifests`` what writes its manifest.
    """

    def __init__(self, job: Job, resources: JobResources, processor: Processor, manifests: ManifestWriter) -> None:
        self.job = job
        self.findings = Findings()
        self.previous: Manifest | None = None
        self.looked = False
        self.crashes = CrashHistory(resources.store, resources.bucket, job)
        self._resources = resources
        self._processor = processor
        self.manifests = manifests

    @property
    def answered(self) -> bool:
        """Whether the store has answered to it at all."""
        return self.looked or self.findings.etag is not None

    async def run(self, delivery: Delivery, queue_name: str) -> JobResult:
        """Do the job. Raises ThumbqError, by which the job runner decides."""
        started = self._resources.clock.monotonic()
        with delivery.interruptible() as looking:
            if (settled := await self._settled_before()) is not None:
                return settled
            await self.crashes.load()
        if looking.cancelled_caught or not await self._make(delivery, queue_name):
            return JobResult(Outcome.INTERRUPTED, Release())
        return self._done(started, await self._publish(last_receive=delivery.last_receive))

    async def _settled_before(self) -> JobResult | None:
        """Return the result when there is nothing to make; look for an earlier one only where there may be one."""
        if not self.job.looks_first:
            result = self._not_served()
            self._resolve(None)
            return result
        return await self.settled()

    async def settled(self) -> JobResult | None:
        """Return the result when there is nothing to make, by the message and by what earlier attempts have left.

        Raises JobFailed when the message can never be done, and BackendError.
        """
        if (result := self._not_served()) is not None:
            return result
        await self._look()
        if self.previous and self.previous.error and self.previous.message_id == self.job.message.id:
            # This very message has failed before; only its burial is missing.
            bury = Bury(self.previous.error.code, self.previous.error.message)
            return JobResult(Outcome.FAILED, bury, manifest=self.previous)
        self._resolve(None if self.findings.info is None else self.findings.info.metadata)
        if await self._is_done():
            return JobResult(Outcome.ALREADY_DONE, Delete(), manifest=self.previous)
        return None

    def _not_served(self) -> JobResult | None:
        """Return the result of what is no job. Raises BucketNotAllowed."""
        source, resources = self.job.source, self._resources
        if source.bucket != resources.bucket:
            raise BucketNotAllowed(f"the message names the bucket {source.bucket!r}, which is not served here")
        return JobResult(Outcome.NO_JOB, Delete()) if resources.catalog.is_output(source.key) else None

    async def _look(self) -> None:
        self.previous = await read_manifest(self._resources.store, self.job.source)
        self.looked = True

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
            self._is_now(info.etag)
            self._resolve(info.metadata)
        is_met = self.findings.are_met_by(self.previous, self.job)
        return is_met and not self.findings.doubt(self.previous, self.job)

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
            render = RecordedRender(*held, self.crashes, last_receive=delivery.last_receive)
            began = self._resources.clock.monotonic()
            rendered = await render.make(self.findings.presets)
            render_s = self._resources.clock.monotonic() - began
            self.findings = replace(self.findings, rendered=rendered, render_s=render_s)
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

    async def _publish(self, *, last_receive: bool) -> Manifest:
        if last_receive:
            # Nothing is done again after it: an older picture must not go over a newer one even for a moment.
            await self._check_source()
        assert self.findings.rendered is not None
        made = await self._processor.store(self.job.source, self.findings.rendered.images)
        manifest = await self._record(made)
        await self._check_source()
        return manifest

    async def _record(self, made: dict[str, RenditionRecord]) -> Manifest:
        """Put the manifest. Where nobody has looked for an earlier one, that is due when there is one in the way."""
        if not self.looked:
            with suppress(ObjectExists):
                return await self.manifests.write_done(self.job, self.findings, None, made, if_absent=True)
            await self._look()
        return await self.manifests.write_done(self.job, self.findings, self.previous, made)

    async def _check_source(self) -> None:
        """Raise SourceReplaced when the original is another one by now: then the job is done again.

        Two messages about one key may be at work at once, and the one that fetched the older original may end last.
        """
        await self._look_at_source()
        if self.findings.info is None:
            raise SourceReplaced(f"the original {self.job.source.key!r} was replaced while it was rendered")

    async def forget_older_source(self) -> None:
        """Forget what was fetched, unless it is known to be the original still."""
        try:
            await self._look_at_source()
        except (JobFailed, BackendError):
            self.findings = replace(self.findings, info=None, rendered=None)

    async def learn_of_sender(self) -> None:
        """Learn what the sender has said with an original that was not fetched, for those who are told of the end."""
        job, findings = self.job, self.findings
        if findings.info is None and not findings.source_gone and job.source.bucket == self._resources.bucket:
            with suppress(JobFailed, BackendError), original_answers(job.source):
                said = (await self._resources.store.head(job.source)).metadata
                url = findings.callback_url
                with suppress(JobFailed):
                    url = url or resolve_presets(job.request, self._resources.catalog, said).callback_url
                self.findings = replace(self.findings, sender_said=said, callback_url=url)

    async def _look_at_source(self) -> None:
        """See whether what was fetched is still the original. Raises SourceDenied, SourceArchived, BackendError."""
        if self.findings.info is not None and self.job.replaceable:
            with suppress(ObjectMissing), original_answers(self.job.source):
                self._is_now((await self._resources.store.head(self.job.source)).etag)

    def _is_now(self, etag: str) -> None:
        """Note the original's ETag; what is known of another original under the same key is forgotten."""
        self.findings = replace(self.findings, head_etag=etag)
        if self.findings.info is not None and self.findings.info.etag != etag:
            self.findings = replace(self.findings, info=None, rendered=None)

    def _done(self, started: float, manifest: Manifest) -> JobResult:
        clock, rendered, sent_at = self._resources.clock, self.findings.rendered, self.job.message.sent_at
        assert rendered is not None
        return JobResult(
            Outcome.DONE,
            Delete(),
            renditions=tuple(image.preset for image in rendered.images),
            failed={one.preset: one.code for one in rendered.not_made},
            duration_s=clock.monotonic() - started,
            waited_s=None if sent_at is None else clock.wall() - sent_at,
            render_s=self.findings.render_s,
            manifest=manifest,
        )

"""An attempt: one receive's try at one job, step by step."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import (
    BackendError,
    JobDeleted,
    JobFailed,
    ObjectExists,
    ObjectMissing,
    RenderKilled,
    SourceReplaced,
)
from thumbq.jobs import deletions
from thumbq.jobs.delivery import JobResult, Outcome
from thumbq.jobs.findings import Findings
from thumbq.jobs.poison import CrashHistory, quarantine
from thumbq.jobs.presets import resolve_presets
from thumbq.jobs.processing import not_served, original_answers
from thumbq.jobs.recordedrender import RecordedRender
from thumbq.jobs.sender import learnt_of_sender
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
        self._fetched_from = 0.0

    @property
    def answered(self) -> bool:
        """Whether the store has answered to it at all."""
        return self.looked or self.findings.etag is not None

    async def run(self, delivery: Delivery, queue_name: str) -> JobResult:
        """Do the job. Raises ThumbqError, by which the job runner decides: JobDeleted when it was deleted meanwhile."""
        started, waited_s = self._resources.clock.monotonic(), self._waited_s()
        if waited_s is not None:
            self.findings = self.findings.after(waited_s=max(waited_s, 0.0))
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
            result = not_served(self.job, self._resources)
            self._resolve(None)
            return result
        return await self.settled()

    async def settled(self) -> JobResult | None:
        """Return the result when there is nothing to make, by the message and by what earlier attempts have left.

        Raises JobFailed when the message can never be done, JobDeleted, and BackendError.
        """
        if (result := not_served(self.job, self._resources)) is not None:
            return result
        await self._look()
        if self.previous and self.previous.error and self.previous.message_id == self.job.message.id:
            # This very message has failed before; only its burial is missing.
            error = self.previous.error
            return JobResult(Outcome.FAILED, Bury(error.code, error.message), manifest=self.previous)
        self._resolve(None if self.findings.info is None else self.findings.info.metadata)
        if await self._is_done():
            return JobResult(Outcome.ALREADY_DONE, Delete(), manifest=self.previous)
        return None

    async def _look(self) -> None:
        self.previous = await read_manifest(self._resources.store, self.job.source)
        self.looked = True
        if self.previous is not None and self.previous.status == "deleted":
            raise JobDeleted

    async def look_for_tombstone(self) -> None:
        """Raise JobDeleted when the job was deleted, and nothing else tells it."""
        fetched_from = None if self.findings.info is None else self._fetched_from
        await deletions.look_for_tombstone(self._resources, self.job, fetched_from=fetched_from)

    async def _is_done(self) -> bool:
        if self.previous is None or self.previous.status != "done":
            return False
        try:
            with original_answers(self.job.source):
                info = await self._resources.store.head(self.job.source)
        except ObjectMissing:
            await self.look_for_tombstone()
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
            self.findings = replace(self.findings, rendered=await render.make(self.findings.presets))
            self.findings = self.findings.after(rendered_s=self._resources.clock.monotonic() - began)
        return True

    async def _acquire(self, stack: AsyncExitStack, queue_name: str) -> tuple[RenderSource, RenderProcess]:
        """Hold what the render needs until ``stack`` is closed: the quarantine, the original and a process."""
        record, lock, clock = self.crashes.record, self._resources.quarantine, self._resources.clock
        if record.poison:
            raise RenderKilled(record.code, record.text)
        await stack.enter_async_context(quarantine(self.crashes, lock, queue_name))
        began = self._fetched_from = clock.monotonic()
        info, original = await stack.enter_async_context(self._processor.fetched(self.job.source))
        fetched = clock.monotonic()
        self.findings = replace(self.findings, info=info).after(fetched_s=fetched - began)
        self._resolve(info.metadata)
        # Quarantined jobs of all queues wait for this one.
        queue = lock.first_queue if record.quarantined else queue_name
        process = await stack.enter_async_context(self._resources.renderer.acquire(queue))
        if (waited_s := self.findings.times.waited_s) is not None:
            self.findings = self.findings.after(waited_s=waited_s + clock.monotonic() - fetched)
        return original, process

    async def _publish(self, *, last_receive: bool) -> Manifest:
        if last_receive:
            # Nothing is done again after it: an older picture must not go over a newer one even for a moment.
            await self._check_source()
        assert self.findings.rendered is not None
        began = self._resources.clock.monotonic()
        made = await self._processor.store(self.job.source, self.findings.rendered.images)
        self.findings = self.findings.after(stored_s=self._resources.clock.monotonic() - began)
        manifest = await self._record(made)
        await self.look_for_tombstone()
        await self._check_source()
        return manifest

    async def _record(self, made: dict[str, RenditionRecord]) -> Manifest:
        """Put the manifest. Where none is known, it is looked for when there is one in the way."""
        if self.previous is None:
            with suppress(ObjectExists):
                return await self.manifests.write_done(self.job, self.findings, None, made, if_absent=True)
            await self._look()
        found = self.previous
        if found and not self.job.replaceable and self.findings.are_met_by(found, self.job):
            return found
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
        self.findings = await learnt_of_sender(self.findings, self.job, self._resources)

    async def _look_at_source(self) -> None:
        """See whether what was fetched is still the original. Raises SourceDenied, SourceArchived, BackendError."""
        if self.findings.info is not None and self.job.replaceable:
            with suppress(ObjectMissing), original_answers(self.job.source):
                self._is_now((await self._resources.store.head(self.job.source)).etag)

    def _is_now(self, etag: str) -> None:
        """Note the original's ETag; what is known of another original under the same key is forgotten."""
        self.findings = self.findings.of_original(etag)

    def _done(self, started: float, manifest: Manifest) -> JobResult:
        rendered = self.findings.rendered
        assert rendered is not None
        return JobResult(
            Outcome.DONE if manifest.message_id == self.job.message.id else Outcome.ALREADY_DONE,
            Delete(),
            renditions=tuple(image.preset for image in rendered.images),
            failed={one.preset: one.code for one in rendered.not_made},
            duration_s=self._resources.clock.monotonic() - started,
            waited_s=self._waited_s(),
            render_s=self.findings.times.rendered_s,
            manifest=manifest,
        )

    def _waited_s(self) -> float | None:
        sent_at = self.job.message.sent_at
        return None if sent_at is None else self._resources.clock.wall() - sent_at

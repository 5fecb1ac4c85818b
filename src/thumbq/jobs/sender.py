"""What the sender has said with an original whose bytes have not come: a job that fails early is told of, too."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from thumbq.errors import BackendError, JobFailed
from thumbq.jobs.presets import resolve_presets
from thumbq.jobs.processing import original_answers

if TYPE_CHECKING:
    from thumbq.jobs.delivery import Job
    from thumbq.jobs.findings import Findings
    from thumbq.jobs.resources import JobResources


async def learnt_of_sender(findings: Findings, job: Job, resources: JobResources) -> Findings:
    """Return findings with the original's metadata and the callback that stands there, if the store says them."""
    if findings.info is not None or findings.source_gone or job.source.bucket != resources.bucket:
        return findings
    with suppress(JobFailed, BackendError), original_answers(job.source):
        said = (await resources.store.head(job.source)).metadata
        url = findings.callback_url
        with suppress(JobFailed):
            url = url or resolve_presets(job.request, resources.catalog, said).callback_url
        return replace(findings, sender_said=said, callback_url=url)
    return findings

"""What `thumbq setup` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.backends import open_existing
from thumbq.errors import Problem, SetupError
from thumbq.worker.warnings import retention_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.aws.provision import Step
    from thumbq.settings import Settings


async def setup(settings: Settings, *, events: bool = False, retention: bool = False) -> Sequence[Step]:
    """Make the bucket and the queues that the settings name, where they are missing.

    With ``events`` the bucket sends its events of presigned uploads to the default queue; with ``retention`` it removes
    what is older than the settings say.
    """
    queues = [config.queue for config in settings.queue_configs if config.queue is not None]
    if settings.bucket is None or not queues:
        what = "thumbq setup makes an S3 bucket and SQS queues, and needs their names"
        raise SetupError([Problem(what, "set THUMBQ_BUCKET and THUMBQ_QUEUE (the local backend needs no setup)")])
    from thumbq.aws.events import check_queue, wire_events  # noqa: PLC0415 - only this command needs them
    from thumbq.aws.provision import provision  # noqa: PLC0415 - the same
    from thumbq.aws.retentionrules import set_retention  # noqa: PLC0415 - the same

    default = settings.default_queue.queue or ""
    if events:
        check_queue(default)
    callbacks = settings.webhooks_queue
    steps = await provision(
        bucket=settings.bucket,
        queues=queues,
        callbacks=None if callbacks is None else callbacks.queue,
        visibility_timeout_s=settings.visibility_timeout_s,
    )
    if events:
        steps += await wire_events(bucket=settings.bucket, queue=default)
    if retention:
        await _check_retention(settings)
        steps += await set_retention(bucket=settings.bucket, days=settings.retention)
    return steps


async def _check_retention(settings: Settings) -> None:
    """Raise SetupError for what would go before the dead letters that need it."""
    async with open_existing(settings) as backends:
        of_jobs = backends[: len(settings.queue_configs)]
        looked_at = [await backend.queue.attributes() for backend in of_jobs]
    if problems := [problem for each in looked_at for problem in retention_warnings(settings, each)]:
        raise SetupError(problems)

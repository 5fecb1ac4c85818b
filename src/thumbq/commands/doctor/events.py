"""The way of presigned uploads: S3 tells the default queue of each original under ``inbox/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thumbq.aws.events import NOTIFICATION_ID
from thumbq.aws.overlap import reach
from thumbq.commands.doctor.asking import ask, look
from thumbq.commands.doctor.queues import lets_s3_send
from thumbq.core.keys import INBOX_PREFIX

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from thumbq.commands.doctor.findings import Findings
    from thumbq.commands.doctor.queues import SeenQueue
    from thumbq.settings import Settings

_LOST = "presigned uploads (POST /uploads) are stored, and nobody makes their renditions"
_MENDS = "thumbq setup --events"


async def look_at_events(s3: S3Client, settings: Settings, queue: SeenQueue, findings: Findings) -> None:
    """Look whether S3's events of presigned uploads come to the default queue."""
    bucket = settings.bucket or ""
    call = s3.get_bucket_notification_configuration(Bucket=bucket)
    answer = await look(findings, "s3:GetBucketNotification", call)
    if answer is None:
        return
    entries = answer.members.get("QueueConfigurations", [])
    ours = next((entry for entry in entries if entry.get("Id") == NOTIFICATION_ID), None)
    if ours is not None and ours["QueueArn"] != queue.address.arn:
        findings.finding(
            f"S3 sends events of {INBOX_PREFIX} to {ours['QueueArn']}, which is another queue", _LOST, _MENDS
        )
    elif any(entry["QueueArn"] == queue.address.arn and reach(entry).covers_ours for entry in entries):
        arn = f"arn:{queue.address.arn.split(':')[1]}:s3:::{bucket}"
        if not lets_s3_send(queue.attributes.get("Policy", ""), arn):
            what = f"the policy of queue {queue.address.name} does not let bucket {bucket} send events"
            findings.finding(what, _LOST, _MENDS)
    elif not _goes_elsewhere(answer.members):
        await _not_wired(s3, settings, bucket, findings)


def _goes_elsewhere(configuration: Any) -> bool:
    """Whether the events go through a topic or EventBridge, which may lead to the queue as well."""
    topics = configuration.get("TopicConfigurations", [])
    return "EventBridgeConfiguration" in configuration or any(reach(entry).covers_ours for entry in topics)


async def _not_wired(s3: S3Client, settings: Settings, bucket: str, findings: Findings) -> None:
    what = f"bucket {bucket} tells nobody of originals under {INBOX_PREFIX}"
    inbox = await ask(s3.list_objects_v2(Bucket=bucket, Prefix=INBOX_PREFIX, MaxKeys=1))
    if settings.cors_origins or inbox.members.get("Contents"):
        findings.finding(what, _LOST, _MENDS)
    else:
        findings.note(what, f"{_LOST}; nobody seems to use them", _MENDS)

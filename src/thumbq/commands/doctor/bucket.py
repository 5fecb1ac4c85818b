"""The bucket: its clock, and how it is set up."""

from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from thumbq.aws.errorkinds import Kind, kind_of
from thumbq.aws.problems import bucket_problem
from thumbq.commands.doctor.asking import Answer, ask, look
from thumbq.commands.doctor.findings import Level
from thumbq.commands.doctor.lifecycle import look_at_lifecycle
from thumbq.commands.doctor.objects import look_at_rights

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from thumbq.commands.doctor.findings import Findings
    from thumbq.commands.doctor.lifecycle import Rules
    from thumbq.ports import Clock
    from thumbq.settings import Settings

_SKEW_S: Final = 60.0
_BLOCKS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


async def look_at_bucket(s3: S3Client, settings: Settings, findings: Findings, clock: Clock) -> bool:
    """Look at the bucket. Returns whether it answers, and so whether it is of use to look further."""
    bucket = settings.bucket or ""
    asked_at = clock.wall()
    head = await ask(s3.head_bucket(Bucket=bucket))
    _compare_clocks(findings, head, asked_at, clock.wall())
    if head.error is not None and not head.denied:
        missing = kind_of(head.error) in {Kind.NO_OBJECT, Kind.NO_BUCKET}
        level = Level.FINDING if missing else Level.NOT_SEEN
        findings.problems([bucket_problem(head.error, bucket, s3.meta.endpoint_url)], level)
        return False
    await look_at_rights(s3, bucket, findings)
    await _public_access(s3, bucket, findings)
    await _encryption(s3, bucket, findings)
    lifecycle = await look_at_lifecycle(s3, settings, findings)
    await _versioning(s3, bucket, findings, lifecycle)
    await _cors(s3, settings, findings)
    return True


def _compare_clocks(findings: Findings, answer: Answer, before: float, after: float) -> None:
    """Compare our clock to S3's, whose header Date has whole seconds."""
    with suppress(KeyError, TypeError, ValueError):
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
        apart_s = max(theirs - after, before - theirs - 1)
        if apart_s > _SKEW_S:
            findings.finding(
                f"this machine's clock and S3's are {apart_s:.0f} s apart",
                "AWS refuses requests that are signed more than 15 minutes off; ages and presigned uploads are wrong",
                "set the clock by a time server: timedatectl set-ntp true",
            )


async def _public_access(s3: S3Client, bucket: str, findings: Findings) -> None:
    answer = await look(findings, "s3:GetBucketPublicAccessBlock", s3.get_public_access_block(Bucket=bucket))
    if answer is None:
        return
    blocked = answer.members.get("PublicAccessBlockConfiguration", {})
    if missing := [name for name in _BLOCKS if not blocked.get(name)]:
        findings.finding(
            f"bucket {bucket} does not block public access: {', '.join(missing)}",
            "one wrong policy or ACL shows all originals to everybody",
            f"aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration "
            + ",".join(f"{name}=true" for name in _BLOCKS),
        )


async def _encryption(s3: S3Client, bucket: str, findings: Findings) -> None:
    answer = await look(findings, "s3:GetEncryptionConfiguration", s3.get_bucket_encryption(Bucket=bucket))
    if answer is not None and answer.says("ServerSideEncryptionConfigurationNotFoundError"):
        findings.finding(
            f"bucket {bucket} encrypts nothing by default",
            "originals lie on the server's disks as they are",
            f"aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration"
            """ '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'""",
        )


async def _versioning(s3: S3Client, bucket: str, findings: Findings, lifecycle: Rules | None) -> None:
    answer = await look(findings, "s3:GetBucketVersioning", s3.get_bucket_versioning(Bucket=bucket))
    if answer is None or answer.members.get("Status") != "Enabled" or lifecycle is None:
        return
    if not any("NoncurrentVersionExpiration" in rule for rule in lifecycle):
        findings.finding(
            f"bucket {bucket} keeps all versions for ever",
            "what is deleted or replaced stays, and is paid for",
            "add a lifecycle rule with NoncurrentVersionExpiration: aws s3api put-bucket-lifecycle-configuration",
        )


async def _cors(s3: S3Client, settings: Settings, findings: Findings) -> None:
    """Look whether pages of the origins that the settings name may post their files to the bucket."""
    if not settings.cors_origins:
        return
    answer = await look(findings, "s3:GetBucketCORS", s3.get_bucket_cors(Bucket=settings.bucket or ""))
    if answer is None:
        return
    allowed = [
        pattern
        for rule in answer.members.get("CORSRules", [])
        if "POST" in rule.get("AllowedMethods", [])
        for pattern in rule.get("AllowedOrigins", [])
    ]
    missing = [origin for origin in settings.cors_origins if not any(fnmatchcase(origin, one) for one in allowed)]
    if missing:
        findings.finding(
            f"bucket {settings.bucket} takes no forms from pages of {', '.join(missing)}",
            "browsers refuse presigned uploads there (POST /uploads)",
            f"aws s3api put-bucket-cors --bucket {settings.bucket} with the rule of `thumbq docs presigned-uploads`",
        )

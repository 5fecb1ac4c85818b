"""The bucket: rights on it, its clock, and how it is set up."""

from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.errorkinds import Kind, kind_of
from thumbq.aws.problems import bucket_problem
from thumbq.commands.doctor.asking import Answer, ask, look, right_is_missing
from thumbq.commands.doctor.findings import Level
from thumbq.core.keys import INBOX_PREFIX, PROBE_KEY, UPLOADS_PREFIX

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from thumbq.commands.doctor.findings import Findings
    from thumbq.ports import Clock
    from thumbq.settings import Settings

_SKEW_S: Final = 60.0
_KEY: Final = f"{PROBE_KEY}-doctor"
_DELETED_FROM: Final = (_KEY, f"{UPLOADS_PREFIX}doctor")
"""An object of ours, and a key that nothing has."""
_ARCHIVES: Final = {"GLACIER", "DEEP_ARCHIVE"}
_DEAD_LETTER_DAYS: Final = 14
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
    await _rights(s3, bucket, findings)
    await _public_access(s3, bucket, findings)
    await _encryption(s3, bucket, findings)
    lifecycle = await _lifecycle(s3, bucket, findings)
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


async def _rights(s3: S3Client, bucket: str, findings: Findings) -> None:
    """Try each right, and undo what is done: an object of ours is put and removed, in a versioned bucket for good."""
    whole, objects = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    listed = await ask(s3.list_objects_v2(Bucket=bucket, Prefix=PROBE_KEY, MaxKeys=1))
    put = await ask(s3.put_object(Bucket=bucket, Key=_KEY, Body=b"thumbq doctor", ContentType="text/plain"))
    got = await ask(s3.head_object(Bucket=bucket, Key=_KEY))
    versions: list[tuple[str, str | None]] = [(_KEY, put.members.get("VersionId"))]
    denied = []
    for key in _DELETED_FROM:
        deleted = await ask(s3.delete_object(Bucket=bucket, Key=key))
        versions.append((key, deleted.members.get("VersionId")))
        if deleted.denied:
            denied.append(f"arn:aws:s3:::{bucket}/{key.rpartition('/')[0]}/*")
    if listed.denied:
        right_is_missing(findings, "s3:ListBucket", whole)
    if put.denied:
        right_is_missing(findings, "s3:PutObject", objects)
    elif put.error is not None:
        _not_stored(findings, put.error, bucket)
    # Where there is no object, S3 says 403 also to those who may get and not list (HeadObject, "Permissions").
    if got.denied and (put.error is None or not listed.denied):
        right_is_missing(findings, "s3:GetObject", objects)
    if denied:
        right_is_missing(findings, "s3:DeleteObject", " and ".join(denied))
    await _forget(s3, bucket, versions, findings)
    if put.error is None and _KEY.rpartition("/")[0] in str(denied):
        findings.note(
            f"the object {_KEY} stays in the bucket", "it was put there to try the rights", "remove it; it has 13 bytes"
        )


def _not_stored(findings: Findings, error: BaseException, bucket: str) -> None:
    findings.finding(
        f"S3 refuses to store an object in bucket {bucket}: {error}",
        "no upload is taken",
        "see the bucket's policy and its KMS key: aws s3api get-bucket-encryption --bucket " + bucket,
    )


async def _forget(s3: S3Client, bucket: str, versions: list[tuple[str, str | None]], findings: Findings) -> None:
    """Remove the versions and markers that our object has left in a versioned bucket."""
    left = 0
    for key, version in versions:
        if version is not None and version != "null":
            gone = await ask(s3.delete_object(Bucket=bucket, Key=key, VersionId=version))
            left += gone.error is not None
    if left:
        findings.note(
            f"{left} versions of {_KEY} stay in the bucket, which is versioned",
            "they were put there to try the rights, and s3:DeleteObjectVersion is missing",
            "a lifecycle rule with NoncurrentVersionExpiration removes them",
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


async def _lifecycle(s3: S3Client, bucket: str, findings: Findings) -> list[dict[str, Any]] | None:
    """Look at the lifecycle rules and return those that are on; None where they cannot be seen."""
    action = "s3:GetLifecycleConfiguration"
    answer = await look(findings, action, s3.get_bucket_lifecycle_configuration(Bucket=bucket))
    if answer is None:
        return None
    rules = [rule for rule in answer.members.get("Rules", []) if rule.get("Status") == "Enabled"]
    for rule in rules:
        named, prefix = f"lifecycle rule {rule.get('ID', 'without a name')}", _prefix(rule)
        if not any(prefix.startswith(ours) or ours.startswith(prefix) for ours in (UPLOADS_PREFIX, INBOX_PREFIX)):
            continue
        days = rule.get("Expiration", {}).get("Days")
        if days is not None and days < _DEAD_LETTER_DAYS:
            findings.finding(
                f"{named} removes originals after {days} days",
                f"dead letters are kept for {_DEAD_LETTER_DAYS} days, and cannot be done again without them",
                f"have it keep them for {_DEAD_LETTER_DAYS} days: aws s3api put-bucket-lifecycle-configuration",
            )
        early = [each for each in rule.get("Transitions", []) if each.get("StorageClass") in _ARCHIVES]
        if any(each.get("Days", 0) < _DEAD_LETTER_DAYS for each in early):
            findings.finding(
                f"{named} archives originals within {_DEAD_LETTER_DAYS} days",
                "a job whose original is in an archive fails for good",
                "use GLACIER_IR, or more days: aws s3api put-bucket-lifecycle-configuration",
            )
    return rules


def _prefix(rule: dict[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(chosen.get("Prefix", chosen.get("And", {}).get("Prefix", rule.get("Prefix", ""))))


async def _versioning(s3: S3Client, bucket: str, findings: Findings, lifecycle: list[dict[str, Any]] | None) -> None:
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

"""The rights on the bucket and its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.commands.doctor.asking import ask, right_is_missing
from thumbq.core.keys import PROBE_KEY, UPLOADS_PREFIX

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from thumbq.commands.doctor.asking import Answer
    from thumbq.commands.doctor.findings import Findings

_KEY: Final = f"{PROBE_KEY}-doctor"
_NOWHERE: Final = f"{UPLOADS_PREFIX}doctor"
"""A key that nothing has."""
_NO_VERSION: Final = "null"


async def look_at_rights(s3: S3Client, bucket: str, findings: Findings) -> None:
    """Try each right, and leave nothing: an object of ours is put and removed, in a versioned bucket for good."""
    listed = await ask(s3.list_objects_v2(Bucket=bucket, MaxKeys=1))
    if listed.denied:
        right_is_missing(findings, "s3:ListBucket", f"arn:aws:s3:::{bucket}")
    if not await _would_leave_versions(s3, bucket, listed):
        was_put = await _put_and_removed(s3, bucket, findings)
    else:
        was_put = False
        findings.note(
            f"s3:PutObject and s3:DeleteObject were not tried: bucket {bucket} is versioned",
            "versions would stay in it, since s3:DeleteObjectVersion is missing here",
            "run `thumbq doctor` as somebody who has it",
        )
    # Where there is no object, S3 says 403 also to those who may get and not list (HeadObject, "Permissions").
    if not was_put and not listed.denied and (await ask(s3.head_object(Bucket=bucket, Key=_KEY))).denied:
        right_is_missing(findings, "s3:GetObject", _objects(bucket))


async def _would_leave_versions(s3: S3Client, bucket: str, listed: Answer) -> bool:
    """Whether the bucket is versioned, as it says itself or by an object in it, and no version may be removed."""
    versioned = (await ask(s3.get_bucket_versioning(Bucket=bucket))).members.get("Status") is not None
    if not versioned and (there := listed.members.get("Contents")):
        seen = await ask(s3.head_object(Bucket=bucket, Key=there[0]["Key"]))
        versioned = seen.members.get("VersionId", _NO_VERSION) != _NO_VERSION
    return versioned and (await ask(s3.delete_object(Bucket=bucket, Key=_KEY, VersionId=_NO_VERSION))).denied


async def _put_and_removed(s3: S3Client, bucket: str, findings: Findings) -> bool:
    """Put an object if it may be removed again, look at it, and remove it. Returns whether it was there."""
    versions: list[tuple[str, str | None]] = []

    async def removed(key: str) -> bool:
        deleted = await ask(s3.delete_object(Bucket=bucket, Key=key))
        versions.append((key, deleted.members.get("VersionId")))
        return not deleted.denied

    may = {key: await removed(key) for key in (_KEY, _NOWHERE)}
    was_put = False
    if may[_KEY]:
        put = await ask(s3.put_object(Bucket=bucket, Key=_KEY, Body=b"thumbq doctor", ContentType="text/plain"))
        versions.append((_KEY, put.members.get("VersionId")))
        was_put = put.error is None
        if put.denied:
            right_is_missing(findings, "s3:PutObject", _objects(bucket))
        elif put.error is not None:
            _not_stored(findings, put.error, bucket)
        elif (await ask(s3.head_object(Bucket=bucket, Key=_KEY))).denied:
            right_is_missing(findings, "s3:GetObject", _objects(bucket))
        await removed(_KEY)
    else:
        findings.note("s3:PutObject was not tried", "what is put could not be removed", "allow s3:DeleteObject first")
    if denied := [f"arn:aws:s3:::{bucket}/{key.rpartition('/')[0]}/*" for key, can in may.items() if not can]:
        right_is_missing(findings, "s3:DeleteObject", " and ".join(denied))
    await _forget(s3, bucket, versions, findings)
    return was_put


def _objects(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}/*"


def _not_stored(findings: Findings, error: BaseException, bucket: str) -> None:
    findings.finding(
        f"S3 refuses to store an object in bucket {bucket}: {error}",
        "no upload is taken",
        "see the bucket's policy and its KMS key: aws s3api get-bucket-encryption --bucket " + bucket,
    )


async def _forget(s3: S3Client, bucket: str, versions: list[tuple[str, str | None]], findings: Findings) -> None:
    """Remove the versions and markers that our object has left in a bucket of which nobody has seen the versions."""
    left = 0
    for key, version in versions:
        if version is not None and version != _NO_VERSION:
            gone = await ask(s3.delete_object(Bucket=bucket, Key=key, VersionId=version))
            left += gone.error is not None
    if left:
        findings.note(
            f"{left} versions of {_KEY} stay in the bucket, which is versioned",
            "they were put there to try the rights, and s3:DeleteObjectVersion is missing",
            "a lifecycle rule with NoncurrentVersionExpiration removes them",
        )

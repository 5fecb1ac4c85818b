"""`thumbq setup --retention`: lifecycle rules of the bucket, a rule for each prefix. Rules of others stay."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from thumbq.aws.errorkinds import FOREIGN, codes
from thumbq.aws.lifecycle import RULE_ID
from thumbq.aws.problems import setup_problem
from thumbq.aws.provision import Step
from thumbq.aws.session import open_clients
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_s3.client import S3Client

_NONE: Final = "NoSuchLifecycleConfiguration"


async def set_retention(*, bucket: str, days: Mapping[str, int]) -> list[Step]:
    """Have S3 remove what is older than so many days, by key prefix; returns every step.

    Rules of thumbq's for other prefixes go. Raises SetupError for what could not be read or made.
    """
    async with open_clients(connections=2, wait_time_s=0) as clients:
        there = await _configuration(clients.s3, bucket)
        wanted = [_rule(prefix, number) for prefix, number in sorted(days.items())]
        ours = [rule for rule in there["Rules"] if _is_ours(rule)]
        if made := _by_id(ours) != _by_id(wanted):
            others = [rule for rule in there["Rules"] if not _is_ours(rule)]
            await _put(clients.s3, bucket, there | {"Rules": [*others, *wanted]})
        names = ", ".join(f"{prefix or 'all'} {number} days" for prefix, number in sorted(days.items())) or "none"
        return [Step(f"lifecycle rules of bucket {bucket}: {names}", made=made)]


def _rule(prefix: str, days: int) -> dict[str, Any]:
    return {
        "ID": RULE_ID + hashlib.sha256(prefix.encode()).hexdigest()[:16],
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
    }


def _is_ours(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("ID", "")).startswith(RULE_ID)


def _by_id(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["ID"]: {name: rule.get(name) for name in ("Status", "Filter", "Expiration")} for rule in rules}


async def _configuration(s3: S3Client, bucket: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = dict(await s3.get_bucket_lifecycle_configuration(Bucket=bucket))
    except FOREIGN as error:
        if isinstance(error, ClientError) and _NONE in codes(error):
            return {"Rules": []}
        raise _refused(error, s3, bucket, "s3:GetLifecycleConfiguration") from error
    kept = {name: answer[name] for name in ("TransitionDefaultMinimumObjectSize",) if name in answer}
    return kept | {"Rules": list(answer.get("Rules", []))}


async def _put(s3: S3Client, bucket: str, configuration: dict[str, Any]) -> None:
    rules: Any = configuration.pop("Rules")
    try:
        if rules:
            await s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": rules}, **configuration
            )
        else:
            await s3.delete_bucket_lifecycle(Bucket=bucket)
    except FOREIGN as error:
        raise _refused(error, s3, bucket, "s3:PutLifecycleConfiguration") from error


def _refused(error: Exception, s3: S3Client, bucket: str, action: str) -> SetupError:
    return SetupError([setup_problem(error, f"lifecycle rules of bucket {bucket}", action, s3.meta.endpoint_url)])

"""The part of `thumbq setup` that has a bucket's records expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from thumbq.aws.errorkinds import FOREIGN, codes
from thumbq.aws.problems import setup_problem
from thumbq.core import keys
from thumbq.errors import SetupError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

EXPIRES_AFTER_DAYS: Final = {
    keys.PRESIGNED_PREFIX: 8,  # the longest form is valid for a week
    keys.IDEMPOTENCY_PREFIX: 2,  # a key counts for 24 hours
    keys.CRASH_RECORDS_PREFIX: 30,  # longer than any message that it tells of
    keys.FAILED_MESSAGES_PREFIX: 30,
    keys.TOMBSTONES_PREFIX: 16,  # a deletion is told for 15 days
}
"""As the stack has it."""

RULE_ID: Final = "thumbq-retention-"
"""The beginning of the ids of rules that `thumbq setup --retention` has made, which go their own ways."""

_NOT_OFFERED: Final = {"NotImplemented", "MethodNotAllowed"}


async def make_lifecycle_rules(s3: S3Client, bucket: str) -> tuple[bool, str]:
    """Make the rules where a bucket has none, and return whether they were made, and what is to be said.

    A bucket's rules are one document: those of others are left alone, and those of `--retention` stay. Raises
    SetupError.
    """
    action = "s3:GetLifecycleConfiguration"
    there: list[Any] = []
    try:
        try:
            there = list((await s3.get_bucket_lifecycle_configuration(Bucket=bucket)).get("Rules", []))
        except ClientError as error:
            if codes(error) & _NOT_OFFERED:
                return False, "left out: this server has no such thing"
            if "NoSuchLifecycleConfiguration" not in codes(error):
                raise
        if all(str(rule.get("ID", "")).startswith(RULE_ID) for rule in there):
            action = "s3:PutLifecycleConfiguration"
            rules = [*there, *map(_rule, EXPIRES_AFTER_DAYS)]
            await s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
            return True, ""
    except FOREIGN as error:
        what = f"lifecycle rules of bucket {bucket}"
        raise SetupError([setup_problem(error, what, action, s3.meta.endpoint_url)]) from error
    missing = [prefix for prefix in EXPIRES_AFTER_DAYS if not any(_expires(rule, prefix) for rule in there)]
    return False, f"left alone, though nothing removes {', '.join(missing)}" if missing else ""


def _rule(prefix: str) -> Any:
    days = EXPIRES_AFTER_DAYS[prefix]
    name = f"thumbq-{prefix.rstrip('/')}"
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}


def _expires(rule: Any, prefix: str) -> bool:
    own = rule.get("Prefix", rule.get("Filter", {}).get("Prefix"))
    return rule.get("Status") == "Enabled" and "Days" in rule.get("Expiration", {}) and own == prefix

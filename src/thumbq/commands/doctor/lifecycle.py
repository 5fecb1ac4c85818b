"""The lifecycle rules of the bucket: none removes too early, and each does what the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws.lifecycle import EXPIRES_AFTER_DAYS, RULE_ID
from thumbq.commands.doctor.asking import look
from thumbq.core.keys import INBOX_PREFIX, UPLOADS_PREFIX
from thumbq.settings.retention import DEAD_LETTERS_DAYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_aiobotocore_s3.client import S3Client

    from thumbq.commands.doctor.findings import Findings
    from thumbq.settings import Settings

    Rules = Sequence[Mapping[str, Any]]

_ARCHIVES: Final = {"GLACIER", "DEEP_ARCHIVE"}
_MENDS_RETENTION: Final = "thumbq setup --retention"


async def look_at_lifecycle(s3: S3Client, settings: Settings, findings: Findings) -> Rules | None:
    """Look at the lifecycle rules and return those that are on; None where they cannot be seen."""
    action, bucket = "s3:GetLifecycleConfiguration", settings.bucket or ""
    answer = await look(findings, action, s3.get_bucket_lifecycle_configuration(Bucket=bucket))
    if answer is None:
        return None
    rules = [rule for rule in answer.members.get("Rules", []) if rule.get("Status") == "Enabled"]
    for rule in rules:
        _originals(rule, findings)
    _records(rules, bucket, findings)
    _retention(rules, settings.retention, bucket, findings)
    return rules


def _originals(rule: Mapping[str, Any], findings: Findings) -> None:
    named, prefix = f"lifecycle rule {rule.get('ID', 'without a name')}", _prefix(rule)
    if not any(prefix.startswith(ours) or ours.startswith(prefix) for ours in (UPLOADS_PREFIX, INBOX_PREFIX)):
        return
    days = _days(rule)
    if days is not None and days < DEAD_LETTERS_DAYS:
        findings.finding(
            f"{named} removes originals after {days} days",
            f"dead letters become {DEAD_LETTERS_DAYS} days old, and cannot be done again without them",
            f"have it keep them for {DEAD_LETTERS_DAYS} days: aws s3api put-bucket-lifecycle-configuration",
        )
    early = [each for each in rule.get("Transitions", []) if each.get("StorageClass") in _ARCHIVES]
    if any(each.get("Days", 0) < DEAD_LETTERS_DAYS for each in early):
        findings.finding(
            f"{named} archives originals within {DEAD_LETTERS_DAYS} days",
            "a job whose original is in an archive fails for good",
            "use GLACIER_IR, or more days: aws s3api put-bucket-lifecycle-configuration",
        )


def _records(rules: Rules, bucket: str, findings: Findings) -> None:
    missing = [prefix for prefix in EXPIRES_AFTER_DAYS if _removed_after(rules, prefix) is None]
    if missing:
        findings.note(
            f"nothing removes old records from bucket {bucket}: {', '.join(missing)}",
            "they are small, and become more with each upload that has an idempotency key and each crash",
            "thumbq setup makes the rules where a bucket has none; else add them to yours",
        )


def _retention(rules: Rules, wanted: Mapping[str, int], bucket: str, findings: Findings) -> None:
    """Compare the rules to the table ``[retention]``, in days by prefix; of several for a key the fewest days count."""
    why = "S3 alone removes what is in the bucket: the service only reads the table"
    for prefix, days in wanted.items():
        found = _removed_after(rules, prefix)
        least = min(each for other, each in {**wanted, **EXPIRES_AFTER_DAYS}.items() if prefix.startswith(other))
        if found not in {days, least}:
            so = "no lifecycle rule does it" if found is None else f"the lifecycle rules do it after {found}"
            what = f"[retention] has {prefix!r} of bucket {bucket} removed after {days} days, and {so}"
            findings.finding(what, why, _MENDS_RETENTION)
    for rule in rules:
        if str(rule.get("ID", "")).startswith(RULE_ID) and _prefix(rule) not in wanted:
            what = f"lifecycle rule {rule['ID']} removes {_prefix(rule)!r} after {_days(rule)} days, and [retention]"
            what += " does not"
            findings.finding(what, "pictures go that the settings keep", _MENDS_RETENTION)


def _removed_after(rules: Rules, prefix: str) -> int | None:
    """Return after how many days all that lies under a prefix is gone; None where nothing removes it."""
    whole = [rule for rule in rules if rule.get("Filter", {}).keys() <= {"Prefix"}]  # others go by tags or sizes too
    found = [days for rule in whole if prefix.startswith(_prefix(rule)) and (days := _days(rule)) is not None]
    return min(found, default=None)


def _days(rule: Mapping[str, Any]) -> int | None:
    days: int | None = rule.get("Expiration", {}).get("Days")
    return days


def _prefix(rule: Mapping[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(chosen.get("Prefix", chosen.get("And", {}).get("Prefix", rule.get("Prefix", ""))))

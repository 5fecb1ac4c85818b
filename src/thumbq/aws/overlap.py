"""The events that a bucket's notifications select, and whether ours overlaps them.

S3 refuses two notifications that select the same event (Amazon S3 User Guide, "Configuring event notifications using
object key name filtering"). EventBridge gets all events beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from thumbq.core.keys import INBOX_PREFIX
from thumbq.errors import Problem, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CREATED: Final = "s3:ObjectCreated:"
_POST: Final = "s3:ObjectCreated:Post"
"""The event of a presigned upload."""

_KINDS: Final = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """The events and keys that a notification selects."""

    events: frozenset[str]
    prefix: str
    suffix: str

    @property
    def overlaps_ours(self) -> bool:
        """Whether it and our notification select the same event."""
        created = any(event.startswith(_CREATED) for event in self.events)
        return created and (self.prefix.startswith(INBOX_PREFIX) or INBOX_PREFIX.startswith(self.prefix))

    @property
    def covers_ours(self) -> bool:
        """Whether it selects the event of every presigned upload."""
        posts = not self.events.isdisjoint({f"{_CREATED}*", _POST})
        return posts and INBOX_PREFIX.startswith(self.prefix) and not self.suffix


def reach(entry: Mapping[str, Any]) -> Reach:
    """Return the events and keys that a notification of S3's selects."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    found = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return Reach(frozenset(entry["Events"]), found.get("prefix", ""), found.get("suffix", ""))


def checked(configuration: Mapping[str, Any], queue_arn: str, own_id: str) -> str:
    """Return a note when a notification of others serves as ours; "" when none overlaps ours.

    Raises SetupError when one overlaps ours and does not serve as it.
    """
    for entry, target in _others(configuration, own_id):
        theirs = reach(entry)
        if not theirs.overlaps_ours:
            continue
        named = f"notification {entry.get('Id', 'without an id')}"
        if target != queue_arn or not theirs.covers_ours:
            what = (
                f"the bucket's {named} takes events of {theirs.prefix or 'every key'} to {target}: S3 refuses another"
            )
            fix = f"narrow it so that it leaves {INBOX_PREFIX} out, or have {target} pass its events on to the queue"
            raise SetupError([Problem(what, fix)])
        wider = "" if theirs.prefix else "; it sends those of other uploads too, which are then queued twice"
        return f"left alone: {named} brings them{wider}"
    return ""


def _others(configuration: Mapping[str, Any], own_id: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for kind, target in _KINDS.items():
        for entry in configuration.get(kind, []):
            if kind != "QueueConfigurations" or entry.get("Id") != own_id:
                yield entry, entry[target]
